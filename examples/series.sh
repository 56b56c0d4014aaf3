#!/usr/bin/env bash
# Map water on every date of a series of images, one edition a year, and say what changed between the first and the last.
#   examples/series.sh FOLDER COLLECTION BANDS [STORE]
# By NDWI; MODEL=water@1 takes the learned model (examples/naip_water.py compares the two).
#   examples/series.sh ../shared/data/timeseries_naip_landsat/naip naip R,G,B,NIR
set -euo pipefail
folder=$1 collection=$2 bands=$3
export TALIK_STORE=${4:-talik-data}
talik=${TALIK:-talik}

"$talik" index "$folder" --collection "$collection" --bands "$bands"
# The year stands in each name: ..._YYYYMMDD.tif
years=$(find "$folder" -name '*.tif' | sed -E 's/.*([12][0-9]{3})[0-9]{4}\.tif$/\1/' | sort -u)
for year in $years; do
  "$talik" map --landform water --model "${MODEL:-ndwi@1}" --season "$year" --collection "$collection" --name "$collection"
done
"$talik" editions list
first=$(head -n 1 <<<"$years") last=$(tail -n 1 <<<"$years")
"$talik" editions diff "water-$collection-$first-v1" "water-$collection-$last-v1"
