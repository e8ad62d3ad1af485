// The ladder: how the engine's kernels came to be, one idea a rung. Kept for readers: the engine launches none of them.
// Every rung of a ladder computes the same small problem; numbers that bf16 holds exactly make it the same in every dtype.
//   for (const ladder::Rung& r : ladder::all_rungs()) std::vector<float> y = r.run(ctx);      // compare with r.reference()
#pragma once
#include <string>
#include <vector>

#include "context.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder {

struct Rung {
  std::string name, idea;  // "gemm 1", and one sentence
  double bytes, flops;     // floors: every input read once and every output written once; what the formula asks
  double tolerance;        // |run - reference| at most
  std::vector<float> (*run)(const Context&);
  std::vector<float> (*reference)();  // by a plain loop, sums in double
};
std::vector<Rung> gemm_rungs();
std::vector<Rung> conv_rungs();
std::vector<Rung> attention_rungs();
std::vector<Rung> group_norm_rungs();

inline std::vector<Rung> all_rungs() {
  std::vector<Rung> all;
  for (const auto& rungs : {gemm_rungs(), conv_rungs(), attention_rungs(), group_norm_rungs()})
    all.insert(all.end(), rungs.begin(), rungs.end());
  return all;
}

// What one access of 16 bytes moves.
struct alignas(16) Four {
  float x[4];
};
SSPO_DEVICE Four load_four(const float* p) { return load(reinterpret_cast<const Four*>(p)); }
SSPO_DEVICE void store_four(float* p, Four x) { store(reinterpret_cast<Four*>(p), x); }

// --- host
// n sixteenths in [-1, 1]
inline std::vector<float> numbers(std::size_t n, std::uint32_t seed) {
  std::vector<float> x(n);
  for (float& e : x) e = float(int((seed = seed * 1664525 + 1013904223) >> 16) % 33 - 16) / 16;
  return x;
}

// Numbers in device memory, as T.
template <class T> class Array {
 public:
  Array(const Context& ctx, std::size_t n) : ctx_(ctx), size_(n), memory_(ctx, size_ * sizeof(T), "ladder") {}
  Array(const Context& ctx, const std::vector<float>& x) : Array(ctx, x.size()) {
    const std::vector<T> as_t(x.begin(), x.end());
    copy_in(ctx.stream, data(), as_t.data(), size_ * sizeof(T));
  }
  T* data() const { return memory_.template as<T>(); }
  std::vector<T> host() const {
    std::vector<T> x(size_);
    copy_out(ctx_.stream, x.data(), data(), size_ * sizeof(T));
    return x;
  }

 private:
  const Context& ctx_;
  std::size_t size_;
  Workspace memory_;
};

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::ladder
