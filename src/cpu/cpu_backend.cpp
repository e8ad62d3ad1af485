#include "cpu/cpu_backend.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include "cpu/attention.hpp"
#include "cpu/conv.hpp"
#include "cpu/elementwise.hpp"
#include "cpu/geglu.hpp"
#include "cpu/gemm.hpp"
#include "cpu/movement.hpp"
#include "cpu/norm.hpp"
#include "cpu/optim.hpp"
#include "cpu/random.hpp"
#include "cpu/reduce.hpp"
#include "cpu/softmax.hpp"

namespace sspo::cpu {
namespace {

int thread_count(int wanted) {
  if (wanted < 0) fail({.op = "device", .what = "negative thread count", .expected = "0 (choose) or more", .got = std::to_string(wanted)});
  if (wanted > 0) return wanted;
  if (const char* text = std::getenv("OMP_NUM_THREADS"))
    if (const int n = std::atoi(text); n > 0) return n;
  return std::max(1u, std::thread::hardware_concurrency());
}

template <class Table>
const auto& pick(const Table& table, DType t) { return t == DType::f64 ? table.f64 : t == DType::bf16 ? table.bf16 : table.f32; }

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, Isa isa, std::size_t packed_most, bool computes) : ctx_{threads, isa, nullptr}, packed_most_(packed_most), computes_(computes) {}
  void attach(Arena* arena) { ctx_.arena = arena; }

  std::string name() const override {
    return "cpu (" + std::string(isa_name(ctx_.isa)) + ", " + std::to_string(ctx_.threads) + (ctx_.threads == 1 ? " thread)" : " threads)");
  }
  int threads() const override { return ctx_.threads; }
  void copy(const View& from, const View& to) override { if (computes_) cpu::copy(ctx_, from, to); }
  void copy_from_host(const void* host, void* device, std::size_t bytes) override { if (bytes && computes_) std::memcpy(device, host, bytes); }
  void copy_to_host(const void* device, void* host, std::size_t bytes) override { if (bytes) computes_ ? std::memcpy(host, device, bytes) : std::memset(host, 0, bytes); }
  bool supports(const detail::Loops& loops, DType compute) override {
    if (compute != DType::i64) return true;
    return loops.builtin >= 0 ? elementwise_kernels(ctx_.isa).i64[loops.builtin] != nullptr : loops.i64 != nullptr;
  }
  void elementwise(const ElementwiseArgs& args) override { if (computes_) cpu::elementwise(ctx_, args); }

  Index find_outside(const View& index, Index extent) override { return !computes_ ? -1 : cpu::find_outside(ctx_, index, extent); }
  void gather(const View& x, const View& index, const View& y) override { if (computes_) cpu::gather(ctx_, x, index, y); }
  void scatter_add(const View& x, const View& index, const View& y) override { if (computes_) cpu::scatter_add(ctx_, x, index, y); }
  void resize(const View& x, const View& y, bool bilinear) override { if (computes_) cpu::resize(ctx_, x, y, bilinear); }
  void resize_adjoint(const View& g, const View& y, bool bilinear) override { if (computes_) cpu::resize_adjoint(ctx_, g, y, bilinear); }
  void avg_pool(const View& x, const View& y, Index kernel, Index stride) override { if (computes_) cpu::avg_pool(ctx_, x, y, kernel, stride); }
  void avg_pool_adjoint(const View& g, const View& y, Index kernel, Index stride) override { if (computes_) cpu::avg_pool_adjoint(ctx_, g, y, kernel, stride); }
  void reduce(Reduction kind, DType in, DType out, const ReductionArgs& args) override {
    if (!computes_) return;
    const ReduceKernels& k = reduce_kernels(ctx_.isa);
    const ReduceOf& of = in == DType::i64 ? k.i64 : in == DType::bf16 && out == DType::f32 ? k.bf16_f32 : pick(k, in);
    switch (kind) {
      case Reduction::sum: return of.sum(ctx_, args);
      case Reduction::sum_squares: return of.sum_squares(ctx_, args);
      case Reduction::max: return of.max(ctx_, args);
      case Reduction::min: return of.min(ctx_, args);
      case Reduction::argmax: return of.argmax(ctx_, args);
    }
  }

  void normal(const Rng& rng, const View& y) override { if (computes_) cpu::normal(ctx_, rng, y); }
  void uniform(const Rng& rng, double low, double high, double largest, const View& y) override { if (computes_) cpu::uniform(ctx_, rng, low, high, largest, y); }
  void randint(const Rng& rng, Index low, Index count, const View& y) override { if (computes_) cpu::randint(ctx_, rng, low, count, y); }

  void gemm(DType in, DType out, const GemmArgs& args, const Storage* weight) override {
    const GemmOf& k = pick_gemm(in, out);
    const bool few = args.m <= few_rows_most && (args.b.rs == 1 || args.b.cs == 1);
    if (!weight || few || args.m > pack_below || args.batch != 1) {
      if (computes_) k.multiply(ctx_, args);
      return;
    }
    const Shared<Packed> panels = derived_panels(
        *weight, {args.b.data, args.b.rs, args.b.cs, args.n, args.k, in, false}, k.packed_b_bytes(args.n, args.k),
        [&](void* memory) { k.pack_b(ctx_, args.n, args.k, args.b, memory); });
    GemmArgs with_panels = args;
    with_panels.packed_b = panels ? panels->memory : nullptr;
    if (computes_) k.multiply(ctx_, with_panels);
  }
  void attention(DType t, const AttentionArgs& args) override { if (computes_) pick(attention_kernels(ctx_.isa), t).forward(ctx_, args); }
  void attention_grad(DType t, const AttentionGradArgs& args) override { if (computes_) pick(attention_kernels(ctx_.isa), t).backward(ctx_, args); }
  void conv(DType t, const ConvArgs& args, const Storage* weight) override {
    const ConvOf& k = pick(conv_kernels(ctx_.isa), t);
    const ConvShape& s = args.shape;
    if (!weight || s.batch * s.out_h() * s.out_w() > pack_below) {
      if (computes_) k.forward(ctx_, args);
      return;
    }
    const Shared<Packed> panels = derived_panels(
        *weight, {args.weight, s.kh * s.kw, s.groups, s.out, s.in, t, true}, k.packed_weight_bytes(s),
        [&](void* memory) { k.pack_weight(ctx_, s, args.weight, memory); });
    ConvArgs with_panels = args;
    with_panels.packed_weight = panels ? panels->memory : nullptr;
    if (computes_) k.forward(ctx_, with_panels);
  }
  void conv_data_gradient(DType t, const ConvDataGradientArgs& args) override { if (computes_) pick(conv_kernels(ctx_.isa), t).data_gradient(ctx_, args); }
  void conv_weight_gradient(DType t, const ConvWeightGradientArgs& args) override { if (computes_) pick(conv_kernels(ctx_.isa), t).weight_gradient(ctx_, args); }
  void conv_bias_gradient(DType t, Index pixels, Index out, const void* gy, void* gb) override {
    if (computes_) pick(conv_kernels(ctx_.isa), t).bias_gradient(ctx_, pixels, out, gy, gb, false);
  }
  void softmax(DType t, const SoftmaxArgs& args) override { if (computes_) pick(softmax_kernels(ctx_.isa), t).softmax(ctx_, args); }
  void softmax_grad(DType t, const SoftmaxGradArgs& args) override { if (computes_) pick(softmax_kernels(ctx_.isa), t).softmax_grad(ctx_, args); }
  void geglu(DType t, const GegluArgs& args) override { if (computes_) pick(geglu_kernels(ctx_.isa), t).geglu(ctx_, args); }
  void geglu_grad(DType t, const GegluGradArgs& args) override { if (computes_) pick(geglu_kernels(ctx_.isa), t).geglu_grad(ctx_, args); }
  void adamw(const AdamWArgs& args) override { if (computes_) optim_kernels(ctx_.isa).adamw(ctx_, args); }
  void adamw8bit(const AdamW8bitArgs& args) override { if (computes_) optim_kernels(ctx_.isa).adamw8bit(ctx_, args); }
  void sgd(const SgdArgs& args) override { if (computes_) optim_kernels(ctx_.isa).sgd(ctx_, args); }
  void ema(const EmaArgs& args) override { if (computes_) optim_kernels(ctx_.isa).ema(ctx_, args); }
  void sums_of_squares(std::span<const View> xs, double* sums) override {
    for (const View& x : xs) *sums++ = !computes_ ? 0 : pick(reduce_kernels(ctx_.isa), x.dtype).dot(ctx_, x.data, x.data, x.shape.numel());
  }
  void group_norm(DType t, const GroupNormArgs& args) override { if (computes_) pick(norm_kernels(ctx_.isa), t).group_norm(ctx_, args); }
  void group_norm_grad(DType t, const GroupNormGradArgs& args) override { if (computes_) pick(norm_kernels(ctx_.isa), t).group_norm_grad(ctx_, args); }
  void layer_norm(DType t, const LayerNormArgs& args) override { if (computes_) pick(norm_kernels(ctx_.isa), t).layer_norm(ctx_, args); }
  void layer_norm_grad(DType t, const LayerNormGradArgs& args) override { if (computes_) pick(norm_kernels(ctx_.isa), t).layer_norm_grad(ctx_, args); }

 private:
  // With few rows a product reads each weight about as often as packing it does: then a packed copy pays,
  // from the second product with the same numbers on.
  static constexpr Index pack_below = 128;

  const GemmOf& pick_gemm(DType in, DType out) const {
    const GemmKernels& k = gemm_kernels(ctx_.isa);
    return in == DType::bf16 && out == DType::f32 ? k.bf16_f32 : pick(k, in);
  }

  // What hangs on a parameter's storage until the parameter changes: panels, by the view they were packed from.
  struct Packed {
    Packed(Arena& arena_, std::size_t size, std::atomic<std::size_t>& all_) : arena(arena_), memory(arena.allocate(size, "packed weight")), bytes(size), all(all_) { all += bytes; }
    ~Packed() { arena.release(memory), all -= bytes; }
    Packed(const Packed&) = delete;
    Arena& arena;
    void* const memory;
    const std::size_t bytes;
    std::atomic<std::size_t>& all;
  };
  struct Panels {
    using Key = std::tuple<const void*, Index, Index, Index, Index, DType, bool>;  // start, strides or taps, extents, conv?
    std::map<Key, std::pair<int, Shared<Packed>>> views;                           // products so far, panels or null
  };
  template <class Pack>
  Shared<Packed> derived_panels(const Storage& weight, const Panels::Key& key, std::size_t bytes, Pack&& pack) {
    const std::lock_guard guard(derived_mutex_);
    if (!weight.derived) weight.derived = Shared<Panels>::make();
    auto& [uses, packed] = static_cast<Panels*>(weight.derived.get())->views[key];
    if (!packed && ++uses > 1 && bytes <= packed_most_ && packed_bytes_ <= packed_most_ - bytes) {
      packed = Shared<Packed>::make(*ctx_.arena, bytes, packed_bytes_);
      if (computes_) pack(packed->memory);
    }
    return packed;
  }

  Context ctx_;
  const std::size_t packed_most_;
  std::atomic<std::size_t> packed_bytes_ = 0;
  bool computes_;  // false: a rehearsal, in which kernels only take what memory they keep
  std::mutex derived_mutex_;
};

}  // namespace

Shared<DeviceState> make_device(const CpuOptions& options, bool computes) {
  const Isa isa = options.isa.empty() ? default_isa() : parse_isa(options.isa);
  auto backend = std::make_unique<CpuBackend>(thread_count(options.threads), isa, options.packed_weights, computes);
  CpuBackend* cpu = backend.get();
  auto state = Shared<DeviceState>::make(
      DeviceKind::cpu, Arena::Options{.budget = options.budget, .huge_pages = options.huge_pages, .fill_with_nan = options.fill_with_nan}, std::move(backend));
  cpu->attach(&state->arena);
  return state;
}

}  // namespace sspo::cpu
