"""The style sheet of the report page."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1c2128; --quiet: #59636e; --line: #dde1e6; --link: #0a5bc4;
  --head: #eef1f4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151a; --card: #1b1f26; --text: #e3e7ec; --quiet: #9aa5b1; --line: #323945; --link: #7ab4ff;
    --head: #252b34;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.25rem; margin: 0 0 1.25rem; scroll-margin-top: 1rem;
}
a { color: var(--link); }
p { margin: 0 0 1rem; }
.quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
th { text-align: left; font-weight: 600; }
.facts th { color: var(--quiet); font-weight: 500; padding-left: 0; white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
.videos { width: 100%; }
.videos thead th { background: var(--head); font-size: .85rem; vertical-align: bottom; }
.videos td, .videos thead th + th { text-align: right; }
.videos tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 8rem; }
.videos tfoot > tr > * { border-top: 2px solid var(--line); font-weight: 600; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--quiet); font-size: .9rem; margin-bottom: .35rem; }
img {
  display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 8px;
}
.chart { overflow-x: auto; }
.chart img { min-width: 44rem; }
.note { margin: .75rem 0 0; font-size: .9rem; }
.top { margin: 0; font-size: .9rem; }
@media print { section { break-inside: avoid; } .top { display: none; } }
"""
