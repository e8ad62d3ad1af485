#include "cuda_backend.hpp"

#include "attention.hpp"
#include "backend.hpp"
#include "conv.hpp"
#include "copy.hpp"
#include "elementwise.hpp"
#include "geglu.hpp"
#include "gemm.hpp"
#include "libraries.hpp"
#include "movement.hpp"
#include "norm.hpp"
#include "optim.hpp"
#include "random.hpp"
#include "reduce.hpp"
#include "softmax.hpp"
#include "sspo/base/error.hpp"
#include "staging.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

// Chunks of device memory for the arena, which cuts and reuses them in the order of the device's one stream.
class DeviceMemory final : public ChunkSource {
 public:
  explicit DeviceMemory(Stream& stream) : stream_(stream) {}
  void* take(std::size_t bytes) override { return allocate_chunk(bytes); }
  void give(void* chunk, std::size_t) noexcept override {
    try {
      stream_.synchronize();  // what is recorded or runs may use it
    } catch (const Error&) {  // the device is lost, and will say so
    }
    release(chunk);
  }
  void fill(void* block, int byte, std::size_t bytes) override { cuda::fill(stream_, block, byte, bytes); }
  void lent(void* block, std::size_t bytes, const char* what) override { note_block(stream_, block, bytes, what); }
  void returned(void* block, std::size_t) noexcept override { note_block_gone(stream_, block); }
  std::size_t apart() const override { return bytes_between_blocks(); }

 private:
  Stream& stream_;
};

class CudaBackend final : public Backend, private Scratch {
 public:
  CudaBackend(std::shared_ptr<Stream> stream, const CudaOptions& options) : stream_(std::move(stream)), staging_(*stream_), ctx_{*stream_, *this, options.tf32}, options_(options) {}
  void attach(Arena* arena) { arena_ = arena; }

  std::string name() const override { return limits().name; }
  int threads() const override { return 1; }
  void copy(const View& from, const View& to) override { cuda::copy(ctx_, from, to); }
  void copy_from_host(const void* host, void* device, std::size_t bytes) override { staging_.upload(device, host, bytes); }
  void copy_to_host(const void* device, void* host, std::size_t bytes) override { staging_.download(host, device, bytes); }
  bool supports(const detail::Loops& loops, DType compute) override { return supports_elementwise(loops, compute); }
  void elementwise(const ElementwiseArgs& a) override { cuda::elementwise(ctx_, a.loops.builtin, a.attrs, a.in, a.out, a.compute); }

  void gemm(DType in, DType out, const kernels::GemmArgs& args, const Storage*) override {
    options_.matmul == Kernels::own ? cuda::gemm(ctx_, in, out, args) : cublas_gemm(ctx_, in, out, args);
  }
  void attention(DType t, const kernels::AttentionArgs& args) override { options_.attention == Kernels::own ? cuda::attention(ctx_, t, args) : cudnn_attention(ctx_, t, args); }
  void attention_grad(DType t, const kernels::AttentionGradArgs& args) override {
    options_.attention == Kernels::own ? cuda::attention_grad(ctx_, t, args) : cudnn_attention_grad(ctx_, t, args);
  }
  void conv(DType t, const kernels::ConvArgs& args, const Storage*) override { options_.conv == Kernels::own ? cuda::conv(ctx_, t, args) : cudnn_conv(ctx_, t, args); }
  void conv_data_gradient(DType t, const kernels::ConvDataGradientArgs& args) override {
    options_.conv == Kernels::own ? cuda::conv_data_gradient(ctx_, t, args) : cudnn_conv_data_gradient(ctx_, t, args);
  }
  void conv_weight_gradient(DType t, const kernels::ConvWeightGradientArgs& args) override {
    options_.conv == Kernels::own ? cuda::conv_weight_gradient(ctx_, t, t, args) : cudnn_conv_weight_gradient(ctx_, t, t, args);
  }
  void conv_bias_gradient(DType t, Index pixels, Index out, const void* gy, void* gb) override { cuda::conv_bias_gradient(ctx_, t, t, pixels, out, gy, gb); }
  void softmax(DType t, const kernels::SoftmaxArgs& args) override { cuda::softmax(ctx_, t, args); }
  void softmax_grad(DType t, const kernels::SoftmaxGradArgs& args) override { cuda::softmax_grad(ctx_, t, args); }
  void geglu(DType t, const kernels::GegluArgs& args) override { cuda::geglu(ctx_, t, args); }
  void geglu_grad(DType t, const kernels::GegluGradArgs& args) override { cuda::geglu_grad(ctx_, t, args); }
  void group_norm(DType t, const kernels::GroupNormArgs& args) override { cuda::group_norm(ctx_, t, args); }
  void group_norm_grad(DType t, const kernels::GroupNormGradArgs& args) override { cuda::group_norm_grad(ctx_, t, args); }
  void layer_norm(DType t, const kernels::LayerNormArgs& args) override { cuda::layer_norm(ctx_, t, args); }
  void layer_norm_grad(DType t, const kernels::LayerNormGradArgs& args) override { cuda::layer_norm_grad(ctx_, t, args); }

  void adamw(const kernels::AdamWArgs& args) override { cuda::adamw(ctx_, args); }
  void adamw8bit(const kernels::AdamW8bitArgs& args) override { cuda::adamw8bit(ctx_, args); }
  void sgd(const kernels::SgdArgs& args) override { cuda::sgd(ctx_, args); }
  void ema(const kernels::EmaArgs& args) override { cuda::ema(ctx_, args); }
  void sums_of_squares(std::span<const View> xs, double* sums) override { cuda::sums_of_squares(ctx_, xs, sums); }

  Index find_outside(const View& index, Index extent) override { return cuda::find_outside(ctx_, index, extent); }
  void gather(const View& x, const View& index, const View& y) override { cuda::gather(ctx_, x, index, y); }
  void scatter_add(const View& x, const View& index, const View& y) override { cuda::scatter_add(ctx_, x, index, y); }
  void resize(const View& x, const View& y, bool bilinear) override { cuda::resize(ctx_, x, y, bilinear); }
  void resize_adjoint(const View& g, const View& y, bool bilinear) override { cuda::resize_adjoint(ctx_, g, y, bilinear); }
  void avg_pool(const View& x, const View& y, Index kernel, Index stride) override { cuda::avg_pool(ctx_, x, y, kernel, stride); }
  void avg_pool_adjoint(const View& g, const View& y, Index kernel, Index stride) override { cuda::avg_pool_adjoint(ctx_, g, y, kernel, stride); }
  void reduce(Reduction kind, DType in, DType out, const kernels::ReductionArgs& args) override {
    switch (kind) {
      case Reduction::sum: return reduce_sum(ctx_, in, out, args);
      case Reduction::sum_squares: return reduce_sum_squares(ctx_, in, out, args);
      case Reduction::max: return reduce_max(ctx_, in, out, args);
      case Reduction::min: return reduce_min(ctx_, in, out, args);
      case Reduction::argmax: return reduce_argmax(ctx_, in, args);
    }
  }

  void normal(const Rng& rng, const View& y) override { cuda::normal(ctx_, rng, y); }
  void uniform(const Rng& rng, double low, double high, double largest, const View& y) override { cuda::uniform(ctx_, rng, low, high, largest, y); }
  void randint(const Rng& rng, Index low, Index count, const View& y) override { cuda::randint(ctx_, rng, low, count, y); }

 private:
  void* take(std::size_t bytes, const char* what) override { return arena_->allocate(bytes, what); }
  void give(void* p) noexcept override { arena_->release(p); }

  std::shared_ptr<Stream> stream_;
  Staging staging_;
  Arena* arena_ = nullptr;
  Context ctx_;
  CudaOptions options_;
};

}  // namespace

Device make_device(const CudaOptions& options, DeviceKind kind) {
  use_device(options.index);
  struct Memory {  // the arena's chunks go back by way of the stream's device: the stream goes last
    std::shared_ptr<Stream> stream;
    DeviceMemory chunks;
  };
  const auto stream = std::make_shared<Stream>(options.graphs);
  const auto memory = std::make_shared<Memory>(Memory{stream, DeviceMemory(*stream)});
  auto backend = std::make_unique<CudaBackend>(stream, options);
  CudaBackend* const made = backend.get();
  auto state = Shared<DeviceState>::make(
      kind, Arena::Options{.budget = options.budget, .fill_with_nan = options.fill_with_nan, .source = std::shared_ptr<ChunkSource>(memory, &memory->chunks)},
      std::move(backend));
  made->attach(&state->arena);
  return Device(state);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
