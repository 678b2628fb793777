"""Where the published data sets and weights are, and where they go."""

from dataclasses import dataclass
from urllib.parse import quote

from scripts.download.fetch import RemoteFile
from util.errors import InputError

PAGES = {
    "static": (
        "DUTS: http://saliencydetection.net/duts",
        "HRSOD: https://github.com/yi94code/HRSOD",
        "FSS-1000: https://github.com/HKUSTCV/FSS-1000",
        "ECSSD: https://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html",
        "BIG: https://github.com/hkchengrex/CascadePSP",
    ),
    "davis": ("DAVIS: https://davischallenge.org",),
    "youtube": ("YouTube-VOS: https://youtube-vos.org",),
    "youtube2018": ("YouTube-VOS: https://youtube-vos.org",),
    "lvos": ("LVOS: https://github.com/LingyiHongfd/LVOS - for research only",),
    "lvos2": ("LVOS: https://github.com/LingyiHongfd/LVOS - for research only",),
    "long": ("Long-time Video: https://github.com/xmlyqing00/AFB-URR - for academic use",),
    "vost": ("VOST: https://www.vostdataset.org - CC BY-NC-SA 4.0",),
    "burst": ("BURST: https://github.com/Ali2500/BURST-benchmark",),
    "ovis": ("OVIS: https://songbai.site/ovis",),
    "bl30k": (
        "BL30K: https://github.com/hkchengrex/MiVOS - derived from ShapeNet, not for commercial use",
        "BL30K, the copy of its authors' university: https://doi.org/10.13012/B2IDB-1702934_V1",
    ),
}
"""Home pages with the licences of each group."""

BL30K_PART_SIZE = 115_000_000_000


@dataclass(frozen=True)
class Download:
    """One archive, or the weights of one network.

    Args:
        name: for the user.
        file_name: of the file, also on a mirror; no two are equal.
        drive_id: on Google Drive; empty where there is a link.
        folder: where an archive is unpacked, from the data root.
        member: folder of the archive that becomes `folder`; all of the archive by default.
        holds: where it is not known what the archive calls it: a folder in what becomes `folder`.
        merged: whether `JPEGImages` and `Annotations` of several archives come together in `folder`.
        resized: folder of the smaller copy that is made of `folder` and is enough, from the data root.
        page: home page of weights.
        link: address of the file, where it is not on Google Drive.
        size: of the file in bytes, where known.
        sha256: of the file, where known.
        rough_size: in bytes, where the exact size is not known.
    """

    name: str
    file_name: str
    drive_id: str = ""
    folder: str = ""
    member: str = ""
    holds: str = ""
    merged: bool = False
    resized: str = ""
    page: str = ""
    link: str = ""
    size: int | None = None
    sha256: str | None = None
    rough_size: int | None = None

    def remote(self, mirror: str | None) -> RemoteFile:
        """The file where it is published, or on a mirror, where it is `<mirror>/<file_name>`.

        Raises:
            InputError: the mirror is no http or https address.
        """
        if mirror is None:
            link = self.link or f"https://drive.google.com/file/d/{self.drive_id}/view"
        elif mirror.startswith(("http://", "https://")):
            link = f"{mirror.rstrip('/')}/{quote(self.file_name)}"
        else:
            raise InputError(f"--mirror {mirror} is no address; give one that begins with http:// or https://")
        drive_id = self.drive_id or None if mirror is None else None
        return RemoteFile(link, drive_id, self.size, self.sha256, self.rough_size)


STATIC = (Download("static pictures", "static_data.zip", "1wUJq3HcLdN-z1t4CsUhjeZ9BVDb9YKLd", "static"),)

DAVIS = (
    Download("DAVIS 2016", "DAVIS-data.zip", "198aRlh5CpAoFz0hfRgYbiNenn_K8DxWD", "DAVIS/2016", "DAVIS"),
    Download(
        "DAVIS 2017 trainval",
        "DAVIS-2017-trainval-480p.zip",
        "1kiaxrX_4GuW6NmiVuKGSGVoKGWjOdp6d",
        "DAVIS/2017/trainval",
        "DAVIS",
    ),
    Download(
        "DAVIS 2017 scribbles",
        "DAVIS-2017-scribbles-trainval.zip",
        "1JzIQSu36h7dVM8q0VoE4oZJwBXvrZlkl",
        "DAVIS/2017/trainval/Scribbles",
        "DAVIS/Scribbles",
    ),
    Download(
        "DAVIS 2017 test-dev",
        "DAVIS-2017-test-dev-480p.zip",
        "1fmkxU2v9cQwyb62Tj1xFDdh2p4kDsUzD",
        "DAVIS/2017/test-dev",
        "DAVIS",
    ),
)

YOUTUBE_TRAIN = Download(
    "YouTube-VOS 2019 train",
    "YouTube-2019-train.zip",
    "13Eqw0gVK-AO5B-cqvJ203mZ2vzWck9s4",
    "YouTube/train",
    "train",
    resized="YouTube/train_480p",
)

YOUTUBE = (
    YOUTUBE_TRAIN,
    Download(
        "YouTube-VOS 2019 valid",
        "YouTube-2019-valid.zip",
        "1o586Wjya-f2ohxYf9C1RlRH-gkrzGS8t",
        "YouTube/valid",
        "valid",
    ),
    Download(
        "YouTube-VOS 2019 valid, all frames",
        "YouTube-2019-valid-all-frames.zip",
        "1rWQzZcMskgpEQOZdJPJ7eTmLCBEIIpEN",
        "YouTube/all_frames/valid_all_frames",
        "valid_all_frames",
    ),
)

YOUTUBE_2018 = (
    Download(
        "YouTube-VOS 2018 valid",
        "YouTube-2018-valid.zip",
        "1-QrceIl5sUNTKz7Iq0UsWC6NLZq7girr",
        "YouTube2018/valid",
        "valid",
    ),
    Download(
        "YouTube-VOS 2018 valid, all frames",
        "YouTube-2018-valid-all-frames.zip",
        "1yVoHM6zgdcL348cFpolFcEl4IC1gorbV",
        "YouTube2018/all_frames/valid_all_frames",
        "valid_all_frames",
    ),
)


def _lvos(version: str, folder: str, **drive_ids: str) -> tuple[Download, ...]:
    """The parts of a version of LVOS."""
    return tuple(
        Download(f"LVOS {version} {part}", f"LVOS-{version}-{part}.zip", drive, f"{folder}/{part}", holds="JPEGImages")
        for part, drive in drive_ids.items()
    )


LVOS = _lvos(
    *("v1", "LVOS"),
    train="1pdA1Y7-VE4coj6yacya-kolZs6hKuQpS",
    valid="1msjV2AAKROc-UsXh8lUic2gQpsLKfjQ0",
    test="1zp8uqiby3o-2jSjZOqQx4ILh-LLqTz-0",
)
LVOS_2 = _lvos(
    *("v2", "LVOSv2"),
    train="1-ehpl5s0Fd14WwtT-GmWtIWa_BxZl9D6",
    valid="17Hwc__6i2rpF5e2s5OPqoywNxG5bzlcO",
    test="1Vp_y8dSUO4ktYmeBFkIQnmAxK6bl3Eyf",
)
LONG = (
    Download(
        *("Long-time Video", "LongTimeVideo.zip", "100MxAuV0_UL20ca5c-5CNpqQ5QYPDSoz", "long_video_set"),
        holds="long_video",
    ),
)
VOST = (
    Download(
        *("VOST", "VOST.zip"),
        folder="VOST",
        holds="JPEGImages",
        link="https://tri-ml-public.s3.amazonaws.com/datasets/VOST.zip",
    ),
)
BURST = (
    Download(
        *("BURST annotations", "BURST-annotations.zip"),
        folder="BURST/annotations",
        holds="info",
        link="https://omnomnom.vision.rwth-aachen.de/data/BURST/annotations.zip",
    ),
)
OVIS = (
    Download(
        *("OVIS train, as folders", "OVIS-VOS-train.zip", "1AZPyyqVqOl6j8THgZ1UdNJY9R1VGEFrX", "OVIS/train-vos"),
        holds="JPEGImages",
    ),
)

GROUPS = {
    "static": STATIC,
    "davis": DAVIS,
    "youtube": YOUTUBE,
    "youtube2018": YOUTUBE_2018,
    "lvos": LVOS,
    "lvos2": LVOS_2,
    "long": LONG,
    "vost": VOST,
    "burst": BURST,
    "ovis": OVIS,
}

BL30K = {
    part: Download(
        f"BL30K part {part}", f"BL30K_{part}.tar", drive_id, "BL30K", merged=True, rough_size=BL30K_PART_SIZE
    )
    for part, drive_id in {
        "a": "1z9V5zxLOJLNt1Uj7RFqaP2FZWKzyXvVc",
        "b": "11-IzgNwEAPxgagb67FSrBdzZR7OKAEdJ",
        "c": "1ZfIv6GTo-OGpXpoKen1fUvDQ0A_WoQ-Q",
        "d": "1G4eXgYS2kL7_Cc0x3N1g1x7Zl8D_aU_-",
        "e": "1Y8q0V_oBwJIY27W_6-8CD1dRqV2gNTdE",
        "f": "1nawBAazf_unMv46qGBHhWcQ4JXZ5883r",
    }.items()
}

QDMN_PAGE = "https://github.com/yongliu20/QDMN"
PROPAGATION_PAGE = "https://github.com/hkchengrex/Mask-Propagation"
STCN_PAGE = "https://github.com/hkchengrex/STCN"

MODELS = {
    "qdmn": Download("QDMN s012", "QDMN.pth", "1fdiGFGol1ecVowPe6gfRHsRs9zCThFXB", page=QDMN_PAGE),
    "propagation": Download(
        "Mask-Propagation s012",
        "propagation_model.pth",
        "19dfbVDndFkboGLHESi8DGtuxF1B21Nm8",
        page=PROPAGATION_PAGE,
    ),
    "propagation_s02": Download(
        "Mask-Propagation s02",
        "propagation_model_s02.pth",
        "12jw9b30o-mh23bXzsL0vp24UVhFko_Py",
        page=PROPAGATION_PAGE,
    ),
    "stcn": Download("STCN s012", "stcn.pth", "1mRrE0uCI2ktdWlUgapJI_KmgeIiF2eOm", page=STCN_PAGE),
    "stcn_s03": Download("STCN s03", "stcn_s03.pth", "1JllXPJZola0G-g1aUQfXe9nLMBioj-aH", page=STCN_PAGE),
    "stm_cycle_resnet18": Download(
        "STM-Cycle ResNet-18", "stm_cycle_resnet18.pth", "1R4RkDPfrNz8JzJNNqFhYIPhbruunNnp5"
    ),
    "stm_cycle_resnet50": Download(
        "STM-Cycle ResNet-50", "stm_cycle_resnet50.pth", "1tSTNBeqa9hyKBPX6NzL1N7EgkWAg_2cv"
    ),
    "dropseg": Download("DropSeg", "dropseg.pth", "167aMTSQrgX3NFimRAnY5LjB7apRuSP8P"),
}
