// Convolutions and attention by cuDNN's graphs: a graph of operations is described once for each set of shapes, cuDNN's heuristics name
// engines for it, the first that keeps our rules becomes an execution plan, and that is kept. Rules: the same bits each time, f32 as
// precise as it looks. The handle and its plans are a thread's own, made at the first call and destroyed at the thread's end.
#include "../libraries.hpp"
#include "cudnn_graph.hpp"

namespace sspo::cuda::inline gpu {
namespace {

using library::AttentionPlan;
using library::ConvPlan;
using library::ConvTask;

// --- convolutions

Request request_of(const ConvPlan& p) {
  constexpr const char* ops[] = {"cudnn_conv", "cudnn_conv_data_gradient", "cudnn_conv_weight_gradient"};
  const auto extents = [](const Tensor4& t) { return library::joined({t.extents[0], t.extents[1], t.extents[2], t.extents[3]}); };
  const auto pair = [](const std::array<Index, 2>& v) { return library::joined({v[0], v[1]}); };
  return {ops[int(p.task)],
          "x " + extents(p.x) + ", weight " + extents(p.w) + ", y " + extents(p.y) + " " + std::string(name_of(p.x.type)) + " (channels second), stride " +
              pair(p.stride) + ", dilation " + pair(p.dilation) + ", padding " + pair(p.before) + " before and " + pair(p.after) + " after",
          "--conv own convolves by our own kernels"};
}
Rules rules_of(const ConvPlan& p) { return {.as_precise_as_f32 = p.x.type == DType::f64 || (p.x.type == DType::f32 && !p.tf32)}; }

void build(Graph& g, const ConvPlan& p) {
  const DType sum = p.sum();
  const cudnnConvolutionMode_t correlation = CUDNN_CROSS_CORRELATION;
  const Descriptor& how = g.make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
                              .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, type_of(sum))
                              .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &correlation)
                              .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t(2))
                              .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, p.before)
                              .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, p.after)
                              .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, p.stride)
                              .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, p.dilation)
                              .finish("describing a convolution");
  const float factors[] = {1, float(p.beta)};
  const double wide_factors[] = {1, p.beta};
  const auto scale = [&](Descriptor& d, cudnnBackendAttributeName_t alpha, cudnnBackendAttributeName_t beta) {
    for (int i = 0; i < 2; ++i) {
      if (sum == DType::f64) d.set(i ? beta : alpha, CUDNN_TYPE_DOUBLE, 1, &wide_factors[i]);
      else d.set(i ? beta : alpha, CUDNN_TYPE_FLOAT, 1, &factors[i]);
    }
  };
  if (p.task == ConvTask::data_gradient) {
    Descriptor& d = g.operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, how).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, g[p.y]);
    d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, g[p.w]).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, g[p.x]);
    scale(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
    d.finish("describing a gradient of the data");
    return;
  }
  if (p.task == ConvTask::weight_gradient) {
    Descriptor& d = g.operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, how).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, g[p.y]);
    d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, g[p.x]).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, g[p.w]);
    scale(d, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
    d.finish("describing a gradient of the weight");
    return;
  }
  // Forward: each step's result is y in memory if it is the last, else f32 that no memory holds.
  std::vector<const Tensor4*> terms;
  for (const Tensor4* t : {&p.residual, &p.bias})
    if (t->data) terms.push_back(t);
  Tensor4 inside = p.y;
  inside.type = sum;
  const auto result = [&](std::size_t step) -> const Descriptor& { return step == terms.size() ? g[p.y] : g.between(inside); };
  const Descriptor* last = &result(0);
  Descriptor& d = g.operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, g[p.x]);
  d.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, g[p.w]).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *last);
  scale(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
  d.finish("describing a convolution");
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const Descriptor& next = result(i + 1);
    g.pointwise(CUDNN_POINTWISE_ADD, sum, {last, &g[*terms[i]]}, next);
    last = &next;
  }
}
// What else than its tensors a plan depends on.
std::string options_of(const ConvPlan& p) {
  std::string s = "conv " + std::to_string(int(p.task)) + (p.tf32 ? " tf32" : "") + (p.beta != 0 ? " add" : "");
  s += std::string(p.residual.data ? " residual" : "") + (p.bias.data ? " bias" : "");
  for (const std::array<Index, 2>& pair : {p.before, p.after, p.stride, p.dilation}) s += " " + library::joined({pair[0], pair[1]});
  return s;
}

// --- attention: the pattern of operations that cuDNN's engines for it know

Request request_of(const AttentionPlan& p) {
  const auto& [B, H, N, D] = p.q.extents;
  return {p.backward ? "cudnn_attention_grad" : "cudnn_attention",
          library::text_of(p.q.type, B, H, N, p.k_turned.extents[3], D, p.causal),
          "--attention own computes it by our own kernels"};
}
Rules rules_of(const AttentionPlan&) { return {.most_workspace = std::size_t(1) << 40}; }
std::string options_of(const AttentionPlan& p) {
  return std::string(p.backward ? "attention grad" : "attention") + (p.causal ? " causal" : "") + (p.lse.data ? " lse" : "");
}

// The tensors in between: scores [B, H, N, M], and one number a row.
struct Scores {
  explicit Scores(Graph& graph, const AttentionPlan& plan) : g(graph), p(plan) {
    const Index B = p.q.extents[0], H = p.q.extents[1], N = p.q.extents[2], M = p.k_turned.extents[3];
    matrix = {nullptr, DType::f32, {B, H, N, M}, {H * N * M, N * M, M, 1}};
    row = {nullptr, DType::f32, {B, H, N, 1}, {H * N, N, 1, 1}};
  }
  const Descriptor& of_type(const Tensor4& like, DType t) const {
    Tensor4 x = like;
    x.type = t;
    return g.between(x);
  }
  // like(...) = mode(in...), in f32
  const Descriptor& pointwise(const Tensor4& like, cudnnPointwiseMode_t mode, std::initializer_list<const Descriptor*> in,
                              DType type = DType::f32) const {
    const Descriptor& y = of_type(like, type);
    g.pointwise(mode, DType::f32, in, y);
    return y;
  }
  // scale Q Kᵀ
  const Descriptor& scaled() const {
    const Descriptor& product = g.between(matrix);
    g.matmul(g[p.q], g[p.k_turned], product);
    return pointwise(matrix, CUDNN_POINTWISE_MUL, {&product, &g[p.scale]});
  }
  // Query i sees the keys j <= i.
  const Descriptor& hide_later(const Descriptor& s) const {
    if (!p.causal) return s;
    const Descriptor &i = of_type(matrix, DType::i32), &j = of_type(matrix, DType::i32), &sees = of_type(matrix, DType::boolean);
    g.pointwise(CUDNN_POINTWISE_GEN_INDEX, DType::i32, {&s}, i, 2);
    g.pointwise(CUDNN_POINTWISE_GEN_INDEX, DType::i32, {&s}, j, 3);
    g.pointwise(CUDNN_POINTWISE_CMP_GE, DType::boolean, {&i, &j}, sees);
    return pointwise(matrix, CUDNN_POINTWISE_BINARY_SELECT, {&s, &g[p.hidden], &sees});
  }

  Graph& g;
  const AttentionPlan& p;
  Tensor4 matrix, row;
};

// S = scale Q Kᵀ      top = max S      e = exp(S - top)      lse = top + log Σ e      O = (e / Σ e) V
void build_forward(Graph& g, const AttentionPlan& p) {
  const Scores in(g, p);
  const Descriptor &s = in.hide_later(in.scaled()), &top = g.between(in.row), &sum = g.between(in.row);
  g.reduce(CUDNN_REDUCE_TENSOR_MAX, s, top);
  const Descriptor& e = in.pointwise(in.matrix, CUDNN_POINTWISE_EXP, {&in.pointwise(in.matrix, CUDNN_POINTWISE_SUB, {&s, &top})});
  g.reduce(CUDNN_REDUCE_TENSOR_ADD, e, sum);
  if (p.lse.data) g.pointwise(CUDNN_POINTWISE_ADD, DType::f32, {&top, &in.pointwise(in.row, CUDNN_POINTWISE_LOG, {&sum})}, g[p.lse]);
  g.matmul(in.pointwise(in.matrix, CUDNN_POINTWISE_DIV, {&e, &sum}, DType::bf16), g[p.v], g[p.o]);
}

// δ = Σ_d dO O      P = exp(S - lse)      dV = Pᵀ dO      dS = scale P (dO Vᵀ - δ)      dK = dSᵀ Q      dQ = dS K
// dQ goes straight to memory, not through sums in f32 that blocks add to as they come: dS is kept for that, 2 BHNM bytes of workspace.
void build_backward(Graph& g, const AttentionPlan& p) {
  const Scores in(g, p);
  const Index B = p.q.extents[0], H = p.q.extents[1], N = p.q.extents[2], D = p.q.extents[3];
  const Tensor4 rows{nullptr, DType::f32, {B, H, N, D}, {H * N * D, N * D, D, 1}};
  const Descriptor& sums = g.between(in.row);
  g.reduce(CUDNN_REDUCE_TENSOR_ADD, in.pointwise(rows, CUDNN_POINTWISE_MUL, {&g[p.d_o], &g[p.o]}), sums);
  g.pointwise(CUDNN_POINTWISE_MUL, DType::f32, {&sums, &g[p.one]}, g[p.row_sums]);

  const Descriptor& s = in.pointwise(in.matrix, CUDNN_POINTWISE_SUB, {&in.scaled(), &g[p.lse]});
  const Descriptor& weights = in.pointwise(in.matrix, CUDNN_POINTWISE_EXP, {&in.hide_later(s)});
  const Tensor4 columns = library::turned(in.matrix);
  const Descriptor& weights_turned = in.of_type(columns, DType::bf16);
  g.reshape(weights, weights_turned);
  g.matmul(weights_turned, g[p.d_o], g[p.dv]);

  const Descriptor& d_weights = g.between(in.matrix);
  g.matmul(g[p.d_o], g[p.v_turned], d_weights);
  const Descriptor& less = in.pointwise(in.matrix, CUDNN_POINTWISE_SUB, {&d_weights, &g[p.row_sums]});
  const Descriptor& unscaled = in.pointwise(in.matrix, CUDNN_POINTWISE_MUL, {&less, &weights});
  const Descriptor& d_scores = in.pointwise(in.matrix, CUDNN_POINTWISE_MUL, {&unscaled, &g[p.scale]});
  const Descriptor& d_scores_turned = in.of_type(columns, DType::bf16);
  g.reshape(d_scores, d_scores_turned);
  g.matmul(d_scores_turned, g[p.q], g[p.dk]);

  const Descriptor& keys = g.between(library::turned(p.k_turned));
  g.reshape(g[p.k_turned], keys);
  g.matmul(d_scores, keys, g[p.dq]);
}
void build(Graph& g, const AttentionPlan& p) { p.backward ? build_backward(g, p) : build_forward(g, p); }

// --- the plans of one thread, and their calls

class Library {
 public:
  explicit Library(const Request& request) { check(dnn().cudnnCreate(&handle_), "making its handle", request); }
  ~Library() {
    plans_.clear();
    (void)dnn().cudnnDestroy(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class Plan> void run(const Context& ctx, const Plan& p, const Request& request) {
    check(dnn().cudnnSetStream(handle_, static_cast<cudaStream_t>(ctx.stream.handle())), "taking a stream", request);
    const std::vector<const Tensor4*> tensors = p.tensors();
    const Executable& e = plan_for(p, tensors, request);
    const LibraryWorkspace space(ctx, e.workspace, request.op);
    std::vector<std::int64_t> ids;
    std::vector<void*> pointers;
    for (const Tensor4* t : tensors) ids.push_back(std::int64_t(ids.size()) + 1), pointers.push_back(const_cast<void*>(t->address()));
    void* const scratch = space.data();
    Descriptor call(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, request);
    call.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::int64_t(ids.size()), ids.data());
    call.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::int64_t(pointers.size()), pointers.data());
    call.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &scratch).finish("handing over pointers");
    check(dnn().cudnnBackendExecute(handle_, static_cast<cudnnBackendDescriptor_t>(e.plan.get()), call.raw()), "running its plan", request);
  }

 private:
  template <class Plan> const Executable& plan_for(const Plan& p, const std::vector<const Tensor4*>& tensors, const Request& request) {
    std::string key = options_of(p);
    for (const Tensor4* t : tensors) {
      key += " " + std::to_string(int(t->type)) + "@" + std::to_string(alignment_of(*t, true));
      for (const std::array<Index, 4>& v : {t->extents, t->steps}) key += library::joined({v[0], v[1], v[2], v[3]});
    }
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    Graph graph(tensors, request);
    build(graph, p);
    return plans_.emplace(std::move(key), compile(graph, rules_of(p), {.handle = handle_})).first->second;
  }

  cudnnHandle_t handle_ = nullptr;
  std::map<std::string, Executable> plans_;
};

Library& of_this_thread(const Request& request) {
  static thread_local Library library(request);
  return library;
}
template <class Plan> void call(const Context& ctx, const Plan& p) {
  const Request request = request_of(p);
  of_this_thread(request).run(ctx, p, request);
}

template <class Plan> std::string engine_on(const Plan& p, const std::string& json) {
  const Request request = request_of(p);
  Descriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, request);
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, std::int64_t(json.size() + 1), json.c_str()).finish("describing a device");
  Graph graph(p.tensors(), request);
  build(graph, p);
  const Executable e = compile(graph, rules_of(p), {.device = &device});
  return "engine " + std::to_string(e.engine) + ", workspace " + std::to_string(e.workspace);
}

}  // namespace

void call_cudnn(const Context& ctx, const ConvPlan& p) { call(ctx, p); }
void call_cudnn(const Context& ctx, const AttentionPlan& p) { call(ctx, p); }
std::string cudnn_engine(const ConvPlan& p, const std::string& device) { return engine_on(p, device); }
std::string cudnn_engine(const AttentionPlan& p, const std::string& device) { return engine_on(p, device); }

}  // namespace sspo::cuda::inline gpu
