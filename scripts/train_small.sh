#!/usr/bin/env bash
# Trains the light network as the shipped one was, about three hours on two CPU cores with bf16 instructions.
#
#     scripts/train_small.sh DATA TRUNK OUTPUT
#
# DATA    folder with DAVIS/2016 (its train list in DAVIS/2016/ImageSets/480p/train.txt) and static/, folders of pictures
#         with masks beside them: of one object (ECSSD) and with several ids (CCP, Penn-Fudan); docs/data.md has the layouts
# TRUNK   ImageNet weights of a ResNet-50 v1 up to layer3
# OUTPUT  the finished weights, in half precision
#
# Called again after an interruption, it goes on where it was. Made videos and stills of DAVIS are added to DATA.
set -euo pipefail
if [ $# -ne 3 ] || [ ! -d "$1" ] || [ ! -f "$2" ]; then
    echo "give the folder of the data, the file of the trunk and the file to write; see the head of $0" >&2
    exit 2
fi
data=$(realpath "$1") trunk=$(realpath "$2") output=$(realpath -m "$3")
cd "$(dirname "$0")/.."

# The newest weights of a run, by its name.
weights_of() {
    find saves -path "saves/*_$1/*_$1_[0-9]*.pth" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2
}

train() { # id, stage, options
    python train.py --id "$1" --stage "$2" --resume auto --arch qdmn_small --backbone resnet50_v1 --amp bf16 \
        --static_root "$data/static" --davis_root "$data/DAVIS" --bl_root "$data/made" "${@:3}"
}

[ -d "$data/static/davis" ] || python scripts/make_stills.py --davis "$data/DAVIS/2016" \
    --list "$data/DAVIS/2016/ImageSets/480p/train.txt" --output "$data/static/davis"
[ -d "$data/made" ] || python scripts/make_synthetic.py --output "$data/made" --layout bl30k --videos 120 --frames 30 \
    --size 288 512 --objects 1 3 --seed 7
mkdir -p "$data/made_youtube" && ln -sfn ../made "$data/made_youtube/train_480p"

# One object: stills, made videos, real videos, both; then layer3 learns too.
train small1 0 --backbone_weights "$trunk" --freeze layer3 --num_objects 1 --image_size 256 -b 4 -i 1000 --steps 800 --lr 2e-4
train small2 1 --load_network "$(weights_of small1)" --freeze layer3 --image_size 256 -b 4 -i 200 --steps --lr 1e-4
train small3 2 --load_network "$(weights_of small2)" --freeze layer3 --yv_root none --num_objects 1 --image_size 384 -b 2 \
    -i 600 --steps --lr 1e-4
train small4 2 --load_network "$(weights_of small3)" --freeze layer3 --yv_root "$data/made_youtube" --num_objects 1 \
    --image_size 384 -b 2 -i 1400 --steps 1200 --lr 1e-4
train small5 2 --load_network "$(weights_of small4)" --freeze layer2 --yv_root "$data/made_youtube" --num_objects 1 \
    --image_size 384 -b 2 -i 500 --steps 400 --lr 3e-5

# Several objects: stills with several ids, then videos; composites in both.
train small6 0 --load_network "$(weights_of small5)" --freeze layer2 --num_objects 3 --composites 0.4 --image_size 320 -b 4 \
    -i 700 --steps 600 --lr 1e-4
train small7 2 --load_network "$(weights_of small6)" --freeze layer2 --yv_root "$data/made_youtube" --num_objects 3 \
    --composites 0.5 --composite_stills --clip_length 4 --max_skip 8 --image_size 384 -b 2 -i 1900 --steps 1500 1750 \
    --gamma 0.3 --lr 1e-4 --ema 0.998
python scripts/convert_checkpoint.py --model "$(weights_of small7)" --output "$output" --half
