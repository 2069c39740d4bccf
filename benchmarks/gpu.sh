#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU should be asked, the most important first: an hour that ends early has still
# answered the first questions. Each line below says which target of the project it measures.
#
#     benchmarks/gpu.sh [FOLDER]      # logs go to FOLDER, records to benchmarks/results
set -uo pipefail
cd "$(dirname "$0")/.."
output=${1:-outputs/gpu}
mkdir -p "$output"
unset TRITON_INTERPRET
failed=0

ask() {  # NAME COMMAND...: run, keep the log, go on whatever happens
  local name=$1
  shift
  echo "== $name: $*"
  if ! "$@" 2>&1 | tee "$output/$name.log"; then
    failed=$((failed + 1))
    echo "== $name FAILED, see $output/$name.log"
  fi
}

nvidia-smi | tee "$output/device.log" || exit 1

# Does every kernel compute on this GPU what its definition says? No number below counts before this is green.
ask correct pytest -q tests/kernels tests/rendering tests/fields -p no:cacheprovider
# G8: the first picture of a fresh installation, everything compiled on the way (target: 30 s or less, no CUDA toolkit).
ask first_frame env TRITON_CACHE_DIR="$(mktemp -d)" bash -c \
  'time python benchmarks/methods.py --device cuda --only frame --repeats 1 --no-record'
# G4: frames of the head and of the torso by the fused kernels (target: 300 frames/s at 512 px, 5 x the unfused path).
ask frames python benchmarks/methods.py --device cuda --only frame --repeats 50
# G3: a training step of 65,536 rays (target: twice the speed of the definitions in mixed precision, stretch 5 ms).
ask step python benchmarks/methods.py --device cuda --only step
# G1: encoding 64 k, 1 M and 4 M points, beside tiny-cuda-nn where it is installed, and marching and compositing.
ask kernels python benchmarks/kernels.py --device cuda --only encode march composite
# G5: head, torso, background and mp4 of a portrait that was trained for some minutes (target: 100 frames/s at 512 px).
ask demo ns-talking demo --size 512 --speech-seconds 20 --output "$output/demo"
# Where the time of a step and of a frame goes.
ask profile python -m torch.utils.bottleneck benchmarks/methods.py --device cuda --only step --repeats 3 --no-record

echo "== answers"
grep -h "passed\|failed" "$output/correct.log"
grep -h "^real" "$output/first_frame.log"
grep -h "er-nerf\|encode\|definitions\|kernels\|fused\|triton\|torch \|tiny-cuda-nn " \
  "$output"/{frames,step,kernels}.log | grep " ms \|^er-nerf\|^encode"
tr '\n' ' ' <"$output/demo.log" | grep -o "rendered at *[0-9.]* *frames/s"
python benchmarks/performance_table.py --write
echo "$failed of the questions failed; records:"
git status --short benchmarks/results
exit "$failed"
