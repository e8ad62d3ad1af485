# Shared by scripts/test, scripts/demo, bench/run and .ci/run: the packages, how to install what is
# missing, how to configure and build. Sourced, not run; leaves the shell in the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_packages=(g++ cmake ninja-build git pkg-config libeigen3-dev doctest-dev libcli11-dev
                nlohmann-json3-dev libfmt-dev libutf8proc-dev zlib1g-dev libssl-dev
                libjpeg62-turbo-dev libwebp-dev libsnappy-dev libzstd-dev libtomlplusplus-dev libfreetype-dev libharfbuzz-dev libpugixml-dev)
demo_packages=(fonts-noto-color-emoji unicode-cldr-core ruby-gemojione)  # pictures and words, no code
ci_packages=(make ccache gdb clang libomp-14-dev libclang-rt-14-dev)
bench_packages=(libbenchmark-dev libdnnl-dev ocl-icd-opencl-dev libopenblas-dev python3)  # OpenCL: dnnl's CMake files ask for it

say() { printf '%s\n' "$*" >&2; }

# install_missing PACKAGE...: nothing happens, and quickly, when all are there.
install_missing() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: taking it that these are installed: $*"
    return
  fi
  local package missing=()
  local -A present=()
  while read -r package; do present[$package]=1; done < <(
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^.i *//p')
  for package in "$@"; do [[ ${present[$package]:-} ]] || missing+=("$package"); done
  ((${#missing[@]})) || return 0

  local root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      say "missing packages, and neither root nor sudo to install them. As root: apt-get install ${missing[*]}"
      exit 69
    fi
    root=(sudo)
    [[ -t 0 ]] || root+=(-n)  # no terminal: nobody could type a password
  fi
  say "installing ${missing[*]}"
  local apt=(${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  local install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
  local log
  log=$(mktemp)
  # Lists may be absent (a fresh image) or stale: then one update, one more try.
  if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
    if ! { "${apt[@]}" update && "${install[@]}"; } >"$log" 2>&1 </dev/null; then
      cat "$log" >&2
      rm -f "$log"
      say "could not install ${missing[*]}"
      exit 69
    fi
  fi
  rm -f "$log"
}

# build DIR [TARGET...] [-- CMAKE_ARGS...]: configures into DIR with Ninja and ccache where they
# exist, builds with all cores.
build() {
  local dir=$1 targets=() options=()
  shift
  while (($#)) && [[ $1 != -- ]]; do targets+=(--target "$1"); shift; done
  (($#)) && shift
  if [[ ! -f $dir/CMakeCache.txt ]] && command -v ninja >/dev/null; then options+=(-G Ninja); fi
  export CCACHE_SLOPPINESS=pch_defines,time_macros  # or ccache leaves files with precompiled headers alone
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S . -B "$dir" --log-level=NOTICE ${options[@]+"${options[@]}"} "$@" >&2 &&
    cmake --build "$dir" --parallel "$(nproc)" ${targets[@]+"${targets[@]}"} >&2
}
