// Backend: the kernels that every device has. Ops check and allocate; a backend only computes, on raw
// views whose shapes are right. A new device is one class here.
#pragma once
#include <memory>

#include "kernels/attention.hpp"
#include "kernels/conv.hpp"
#include "kernels/geglu.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norm.hpp"
#include "kernels/optim.hpp"
#include "kernels/reduce.hpp"
#include "kernels/softmax.hpp"
#include "sspo/base/device.hpp"
#include "sspo/base/rng.hpp"
#include "sspo/ops/elementwise_loop.hpp"
#include "sspo/tensor/arena.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo {

class Trace;

struct ElementwiseArgs {
  const detail::Loops& loops;
  const void* attrs;
  std::span<const View> in;  // broadcast to out.shape: strides of 0
  View out;                  // contiguous
  DType compute;
};

enum class Reduction { sum, sum_squares, max, min, argmax };

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual int threads() const = 0;
  // to[i] = from[i], converted; any strides. Shapes are equal.
  virtual void copy(const View& from, const View& to) = 0;
  virtual void copy_from_host(const void* host, void* device, std::size_t bytes) = 0;
  virtual void copy_to_host(const void* device, void* host, std::size_t bytes) = 0;
  virtual bool supports(const detail::Loops& loops, DType compute) = 0;
  virtual void elementwise(const ElementwiseArgs& args) = 0;
  // `in` is the dtype of A and B, `out` of the rest. `weight`: the parameter that B is a view of, or null;
  // a backend may keep what it derives from it in weight->derived until the parameter changes.
  virtual void gemm(DType in, DType out, const kernels::GemmArgs& args, const Storage* weight) = 0;
  virtual void attention(DType dtype, const kernels::AttentionArgs& args) = 0;
  virtual void attention_grad(DType dtype, const kernels::AttentionGradArgs& args) = 0;
  // `weight`: the parameter that the convolution's weight is, or null; as for gemm.
  virtual void conv(DType dtype, const kernels::ConvArgs& args, const Storage* weight) = 0;
  virtual void conv_data_gradient(DType dtype, const kernels::ConvDataGradientArgs& args) = 0;
  virtual void conv_weight_gradient(DType dtype, const kernels::ConvWeightGradientArgs& args) = 0;
  virtual void conv_bias_gradient(DType dtype, Index pixels, Index out, const void* gy, void* gb) = 0;
  virtual void softmax(DType dtype, const kernels::SoftmaxArgs& args) = 0;
  virtual void softmax_grad(DType dtype, const kernels::SoftmaxGradArgs& args) = 0;
  virtual void geglu(DType dtype, const kernels::GegluArgs& args) = 0;
  virtual void geglu_grad(DType dtype, const kernels::GegluGradArgs& args) = 0;
  virtual void adamw(const kernels::AdamWArgs& args) = 0;
  virtual void adamw8bit(const kernels::AdamW8bitArgs& args) = 0;
  virtual void sgd(const kernels::SgdArgs& args) = 0;
  virtual void ema(const kernels::EmaArgs& args) = 0;
  // sums[i] = Σ xs[i]², in double; contiguous f32, f64 or bf16. One wait for a device, however many there are.
  virtual void sums_of_squares(std::span<const View> xs, double* sums) = 0;
  virtual void group_norm(DType dtype, const kernels::GroupNormArgs& args) = 0;
  virtual void group_norm_grad(DType dtype, const kernels::GroupNormGradArgs& args) = 0;
  virtual void layer_norm(DType dtype, const kernels::LayerNormArgs& args) = 0;
  virtual void layer_norm_grad(DType dtype, const kernels::LayerNormGradArgs& args) = 0;

  // --- movement: all views contiguous but `index`, whose values (i64) the caller has checked
  // The row-major position of the first index outside [0, extent), or -1.  index [O, J, I]
  virtual Index find_outside(const View& index, Index extent) = 0;
  // y[o,j,i] = x[o, index[o,j,i], i]     x [O, N, I]   index, y [O, J, I]; x and y of one dtype
  virtual void gather(const View& x, const View& index, const View& y) = 0;
  // y[o, index[o,j,i], i] += x[o,j,i], j ascending     x, index [O, J, I]   y [O, N, I]; y is f32 where x is a 16-bit float
  virtual void scatter_add(const View& x, const View& index, const View& y) = 0;
  // x [B, H, W, C] read at ((p + 1/2) H/H' - 1/2, ...), edges clamped; nearest: at floor(p H/H').   y [B, H', W', C]
  virtual void resize(const View& x, const View& y, bool bilinear) = 0;
  virtual void resize_adjoint(const View& g, const View& y, bool bilinear) = 0;  // g [B, H', W', C]   y [B, H, W, C]
  // y = the mean over each kernel x kernel window, windows `stride` apart
  virtual void avg_pool(const View& x, const View& y, Index kernel, Index stride) = 0;
  virtual void avg_pool_adjoint(const View& g, const View& y, Index kernel, Index stride) = 0;

  // `in` is the dtype of x: f32, f64, bf16 or i64; `out` that of y: the same, or f32 for bf16 (argmax: i64).
  virtual void reduce(Reduction kind, DType in, DType out, const kernels::ReductionArgs& args) = 0;

  // --- random numbers: y contiguous, element i from block i/4 (randint: i) of the path
  virtual void normal(const Rng& rng, const View& y) = 0;
  virtual void uniform(const Rng& rng, double low, double high, double largest, const View& y) = 0;  // no value above `largest`
  virtual void randint(const Rng& rng, Index low, Index count, const View& y) = 0;                   // low + [0, count), i64
};

struct DeviceState {
  DeviceState(DeviceKind kind, Arena::Options memory, std::unique_ptr<Backend> backend);
  DeviceKind kind;
  Arena arena;
  std::unique_ptr<Backend> backend;
  Trace* trace = nullptr;  // observes every op while set
};

inline Backend& backend(const Device& d) { return *d.state().backend; }
inline View view(const Tensor& x) { return {const_cast<void*>(x.raw()), x.dtype(), x.shape(), x.layout().strides}; }

// The op whose results are being allocated: the holder's name in memory reports. Set by detail::OpInProgress alone.
const char*& memory_label();

}  // namespace sspo
