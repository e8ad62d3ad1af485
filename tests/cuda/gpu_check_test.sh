#!/usr/bin/env bash
# scripts/gpu-check without a GPU, and with one that is not there: nvidia-smi, nvcc, compute-sanitizer and the programs it builds are
# stand-ins here, so that what the script makes of their answers is seen.   tests/cuda/gpu_check_test.sh SOURCE_DIR
set -uo pipefail
script=$1/scripts/gpu-check
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
complain() { printf 'FAILED: %s\n' "$*"; failed=1; }
mkdir "$dir/bin" "$dir/programs"
stand_in() { printf '#!/usr/bin/env bash\n' >"$dir/$1"; cat >>"$dir/$1"; chmod +x "$dir/$1"; }

stand_in bin/dpkg-query <<<'shift 3; printf "ii  %s\n" "$@"'   # every package is there
stand_in bin/nvcc <<<'exit 1'                                  # asked for, never run: cmake is below
stand_in bin/nvidia-smi <<'STUB'
[[ ${GPU:-} ]] || { echo "NVIDIA-SMI has failed"; exit 9; }
case "$*" in
  -L) echo "GPU 0: $GPU (UUID: GPU-0)" ;;
  *-lms*) while true; do echo "1200 MHz, 1500 MHz"; sleep 0.05; done ;;
  *query-gpu=compute_cap*) echo "$CAPABILITY" ;;
  *query-gpu=name*) echo "$GPU, 580.1, $CAPABILITY, 1980 MHz, 2619 MHz, 700.00 W" ;;
esac
STUB
stand_in bin/cmake <<'STUB'
echo "cmake $*" >>"$LOG"
[[ $1 == --build ]] || exit 0
mkdir -p "$2/tests/cuda" "$2/cuda/gpu"
for program in test_cuda_kernels_on_gpu test_cuda_engine_on_gpu test_cuda_models_on_gpu; do cp "$PROGRAMS/test" "$2/tests/cuda/$program"; done
cp "$PROGRAMS/bench" "$2/cuda/gpu/bench_on_gpu"
cp "$PROGRAMS/traffic" "$2/sspo-bench-sim"
STUB
stand_in bin/ctest <<<'echo "ctest $*"; [[ ${BROKEN:-} != sim ]]'
stand_in bin/compute-sanitizer <<'STUB'
[[ $1 == --tool && $3 == --error-exitcode ]] || exit 2
[[ ${BROKEN:-} == "$2" ]] && { echo "========= ERROR SUMMARY: 1 error"; exit "$4"; }
exec "${@:5}"
STUB
stand_in bin/python_with_torch <<'STUB'
[[ ${BROKEN:-} == torch ]] && { echo "a traceback" >&2; exit 1; }
[[ ${BROKEN:-} == "no torch" ]] && { echo "no torch in this Python" >&2; exit 77; }
echo '{"version": "9", "card": "Stand-in", "rows": [{"us": 30, "median_us": 31, "samples": 15}, {"error": "no kernel"}, {"us": 5, "median_us": 6, "samples": 15}]}'
STUB
stand_in programs/test <<<'echo "test of ${0##*/}"; [[ ${BROKEN:-} != "${0##*/}" ]]'
stand_in programs/traffic <<<'echo "counts, not times"'
stand_in programs/bench <<'STUB'
[[ ${BROKEN:-} == bench ]] && { echo '{"card": {"name": "cut off'; echo "launch failed" >&2; exit 70; }
sleep 0.3
cat <<'JSON'
{"card": {"name": "Stand-in", "capability": 90, "peak_bytes_per_s": 1e12, "peak_flops_per_s": {"f32": 1e13, "tf32": 1e14, "bf16": 2e14}},
 "rows": [
  {"kind": "gemm_nn", "shape": [64, 64, 64], "dtype": "bf16", "bytes": 1e6, "flops": 1e9, "own": {"name": "own", "us": 20, "median_us": 21, "samples": 15, "host_bound": false},
   "library": {"name": "cuBLASLt", "us": 10, "median_us": 11, "samples": 15, "host_bound": true}},
  {"kind": "attention_forward", "shape": [1, 1, 64, 64, 40], "dtype": "f32", "bytes": 1e6, "flops": 1e6, "own": {"name": "own", "us": 4, "median_us": 4, "samples": 15, "host_bound": false},
   "library": {"name": "cuDNN", "error": "cuDNN: no attention on this type"}},
  {"kind": "adamw", "shape": [4096], "dtype": "f32", "bytes": 1e6, "flops": 0, "own": {"name": "own", "us": 2, "median_us": 2, "samples": 15, "host_bound": false}, "library": null}
 ]}
JSON
STUB

export PATH=$dir/bin:$PATH PROGRAMS=$dir/programs LOG=$dir/log PYTHON=python_with_torch
# runs CODE NAME=VALUE...: the script with these variables exits with that code.
runs() {
  local status=0
  rm -rf "$dir/out" "$dir/build"
  env "${@:2}" "$script" "$dir/out" "$dir/build" >"$dir/said" 2>&1 || status=$?
  ((status == $1)) || { complain "exit $status in place of $1 with ${*:2}"; cat "$dir/said"; }
  [[ $1 == 69 ]] || python3 -m json.tool "$dir/out/report.json" >/dev/null || complain "report.json is not JSON with ${*:2}"
}
reports() { local text; for text in "$@"; do grep -qF -- "$text" "$dir/out/report.md" || { complain "no '$text' in"; cat "$dir/out/report.md"; }; done; }
silent() { grep -qF -- "$1" "$dir/out/report.md" && complain "'$1' in report.md"; }
holds() { python3 -c "import json, sys; r = json.load(open(sys.argv[1])); sys.exit(not ($1))" "$dir/out/report.json" || complain "report.json: not $1"; }
gpu=("GPU=Stand-in 9000" CAPABILITY=9.0)

runs 0 "${gpu[@]}"
reports "Stand-in 9000, 580.1, 9.0, 1980 MHz" "1200 to 1200 MHz, memory 1500 to 1500 MHz" "| test_cuda_engine_on_gpu | passed |" "| compute-sanitizer racecheck | passed |" \
  "| gemm_nn 64x64x64 bf16 | 20.0 (21.0) | 10.0 (11.0) host | 0.50 | 30.0 (31.0) | 1.50 | 25 % |" "| attention_forward 1x1x64x64x40 f32 | 4.0 (4.0) | - | - | - | - | 25 % |" \
  "| adamw 4096 f32 | 2.0 (2.0) | - | - | 5.0 (6.0) | 2.50 | 50 % |" "* attention_forward 1x1x64x64x40 f32: cuDNN: no attention on this type" "f32: PyTorch: no kernel"
holds 'r["measured"] == "on a GPU" and r["date"][:2] == "20" and r["clocks_during_bench"]["sm_mhz"] == [1200, 1200] and len(r["bench"]["rows"]) == 3'
grep -q -- "-DSSPO_CUDA_ARCHITECTURES=90" "$LOG" || complain "not built for the card's capability"

runs 1 "${gpu[@]}" BROKEN=test_cuda_kernels_on_gpu  # under compute-sanitizer, too
reports "| test_cuda_kernels_on_gpu | failed, see test_cuda_kernels_on_gpu.txt |" "| test_cuda_models_on_gpu | passed |"
runs 1 "${gpu[@]}" BROKEN=racecheck
reports "| compute-sanitizer racecheck | failed, see compute-sanitizer-racecheck.txt |" "| compute-sanitizer memcheck | passed |"
runs 1 "${gpu[@]}" BROKEN=bench
reports "| bench | failed, see bench.txt |"
silent "own us"
runs 1 "${gpu[@]}" BROKEN=torch
reports "| PyTorch | failed, see pytorch.txt |" "| gemm_nn 64x64x64 bf16 | 20.0 (21.0) | 10.0 (11.0) host | 0.50 | - | - | 25 % |"
runs 0 "${gpu[@]}" "BROKEN=no torch"
reports "| PyTorch | not measured: no torch in this Python |"
runs 69 "GPU=Stand-in 2080" CAPABILITY=7.5
grep -q "need compute capability 8.0" "$dir/said" || complain "an old card is not refused in words"

runs 0 GPU=
reports "not measured on a GPU" "| tests on cuda-sim | passed |" "| traffic on cuda-sim | passed |"
silent " us |"
holds 'r["card"] is None and r["measured"] == "not measured on a GPU" and r["bench"] is None and r["clocks_during_bench"] is None'
runs 1 GPU= BROKEN=sim
reports "| tests on cuda-sim | failed"

((failed == 0)) && echo "gpu-check: as it should be"
exit "$failed"
