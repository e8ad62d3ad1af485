// cuDNN's backend in few words: descriptors, a graph of operations, and the choice of an engine for it. Host code.
//   Graph g(tensors, request);   g.matmul(g[q], g[k], g.between(scores)); ...   Executable e = compile(g, rules, {.handle = handle});
#pragma once
#include <cudnn.h>

#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "../library_plan.hpp"
#include "shared_library.hpp"

namespace sspo::cuda::inline gpu {

using library::Tensor4;

struct Dnn {
  library::SharedLibrary file{"cuDNN", "libcudnn.so." + std::to_string(CUDNN_MAJOR), "--conv own --attention own"};
  SSPO_ENTRY(cudnnBackendCreateDescriptor);
  SSPO_ENTRY(cudnnBackendDestroyDescriptor);
  SSPO_ENTRY(cudnnBackendExecute);
  SSPO_ENTRY(cudnnBackendFinalize);
  SSPO_ENTRY(cudnnBackendGetAttribute);
  SSPO_ENTRY(cudnnBackendSetAttribute);
  SSPO_ENTRY(cudnnCreate);
  SSPO_ENTRY(cudnnDestroy);
  SSPO_ENTRY(cudnnGetErrorString);
  SSPO_ENTRY(cudnnGetLastErrorString);
  SSPO_ENTRY(cudnnSetStream);
};
inline const Dnn& dnn() {
  static const Dnn all;
  return all;
}

// What is asked of cuDNN, for errors.
struct Request {
  const char* op;
  std::string shapes;
  const char* hint;
};

[[noreturn]] inline void refuse(const Request& request, const std::string& what) {
  fail({.op = request.op, .what = "cuDNN: " + what, .expected = "CUDNN_STATUS_SUCCESS", .got = request.shapes, .hint = request.hint,
        .kind = ErrorKind::internal});
}
inline void check(cudnnStatus_t status, const char* what, const Request& request) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = {};
  dnn().cudnnGetLastErrorString(detail, sizeof detail);
  refuse(request, std::string(what) + " failed: " + dnn().cudnnGetErrorString(status) + (*detail ? std::string(" (") + detail + ")" : ""));
}

inline cudnnDataType_t type_of(DType t) {
  switch (t) {
    case DType::f64: return CUDNN_DATA_DOUBLE;
    case DType::f32: return CUDNN_DATA_FLOAT;
    case DType::i32: return CUDNN_DATA_INT32;
    case DType::boolean: return CUDNN_DATA_BOOLEAN;
    default: return CUDNN_DATA_BFLOAT16;
  }
}

// One of cuDNN's descriptors: made, filled, finished, read.
class Descriptor {
 public:
  Descriptor(cudnnBackendDescriptorType_t kind, const Request& request) : request_(&request) {
    must(dnn().cudnnBackendCreateDescriptor(kind, &it_), "making a descriptor");
  }
  ~Descriptor() { if (it_) (void)dnn().cudnnBackendDestroyDescriptor(it_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
    must(dnn().cudnnBackendSetAttribute(it_, name, type, count, values), "describing a graph");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::int64_t value) { return set(name, CUDNN_TYPE_INT64, 1, &value); }
  Descriptor& set(cudnnBackendAttributeName_t name, bool value) { return set(name, CUDNN_TYPE_BOOLEAN, 1, &value); }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value) { return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value); }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) { return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.it_); }
  template <std::size_t N> Descriptor& set(cudnnBackendAttributeName_t name, const std::array<Index, N>& values) {
    std::int64_t wide[N];
    for (std::size_t i = 0; i < N; ++i) wide[i] = values[i];
    return set(name, CUDNN_TYPE_INT64, N, wide);
  }
  cudnnStatus_t try_finish() { return dnn().cudnnBackendFinalize(it_); }
  Descriptor& finish(const char* what) {
    must(try_finish(), what);
    return *this;
  }
  std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most, void* values) const {
    std::int64_t count = 0;
    must(dnn().cudnnBackendGetAttribute(it_, name, type, most, &count, values), "reading a descriptor");
    return count;
  }
  cudnnBackendDescriptor_t raw() const { return it_; }
  cudnnBackendDescriptor_t give_away() { return std::exchange(it_, nullptr); }

 private:
  void must(cudnnStatus_t status, const char* what) const { check(status, what, *request_); }
  const Request* request_;
  cudnnBackendDescriptor_t it_ = nullptr;
};

// Where plans will run: the GPU behind a handle, or one that is only described (cuDNN's JSON).
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* device = nullptr;
};

// What a tensor's pointer may be taken for: numbers and results that no memory holds are as good as any.
inline Index alignment_of(const Tensor4& t, bool in_memory) { return in_memory && !t.by_value ? library::alignment_of(t.data) : 16; }

// Operations and the tensors between them. A tensor in memory is number i + 1 of the list that the graph is made with.
class Graph {
 public:
  Graph(const std::vector<const Tensor4*>& in_memory, const Request& request) : request_(request) {
    for (const Tensor4* t : in_memory) known_[t] = &describe(*t, true);
  }
  const Descriptor& operator[](const Tensor4& t) const { return *known_.at(&t); }
  // A tensor that no memory holds: one operation's result, another's argument.
  const Descriptor& between(const Tensor4& t) { return describe(t, false); }
  Descriptor& make(cudnnBackendDescriptorType_t kind) { return kept_.emplace_back(kind, request_); }
  Descriptor& operation(cudnnBackendDescriptorType_t kind) {
    Descriptor& d = make(kind);
    operations_.push_back(d.raw());
    return d;
  }
  // to = mode(in[0], in[1], ...), elementwise; operands broadcast.
  void pointwise(cudnnPointwiseMode_t mode, DType math, std::initializer_list<const Descriptor*> in, const Descriptor& to, std::int64_t axis = -1) {
    Descriptor& how = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, type_of(math));
    if (axis >= 0) how.set(CUDNN_ATTR_POINTWISE_AXIS, axis);
    Descriptor& d = operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how.finish("describing arithmetic"));
    constexpr cudnnBackendAttributeName_t places[] = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                                      CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
    std::size_t place = 0;
    for (const Descriptor* t : in) d.set(places[place++], *t);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to).finish("describing arithmetic");
  }
  // c = a b, batches of matrices, sums in f32.
  void matmul(const Descriptor& a, const Descriptor& b, const Descriptor& c) {
    Descriptor& how = make(CUDNN_BACKEND_MATMUL_DESCRIPTOR).set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finish("describing a product");
    operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
        .set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a).set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b).set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c)
        .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how).finish("describing a product");
  }
  void reduce(cudnnReduceTensorOp_t kind, const Descriptor& x, const Descriptor& y) {
    Descriptor& how = make(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &kind).set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    Descriptor& d = operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how.finish("describing a reduction"));
    d.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x).set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y).finish("describing a reduction");
  }
  void reshape(const Descriptor& x, const Descriptor& y) {
    Descriptor& d = operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x).set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y).finish("describing a transpose");
  }
  const Request& request() const { return request_; }
  const std::vector<cudnnBackendDescriptor_t>& operations() const { return operations_; }

 private:
  Descriptor& describe(const Tensor4& t, bool in_memory) {
    Descriptor& d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type_of(t.type)).set(CUDNN_ATTR_TENSOR_DIMENSIONS, t.extents).set(CUDNN_ATTR_TENSOR_STRIDES, t.steps);
    d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, std::int64_t(++ids_)).set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t(alignment_of(t, in_memory)));
    if (!in_memory) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
    if (t.by_value) d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
    return d.finish("describing a tensor");
  }
  const Request& request_;
  std::deque<Descriptor> kept_;
  std::map<const Tensor4*, const Descriptor*> known_;
  std::vector<cudnnBackendDescriptor_t> operations_;
  std::int64_t ids_ = 0;
};

// What an engine must not do.
struct Rules {
  bool as_precise_as_f32 = false;  // no tensor cores, no factors rounded
  std::size_t most_workspace = std::size_t(1) << 30;
  bool allow(const std::vector<cudnnBackendNumericalNote_t>& notes) const {
    for (cudnnBackendNumericalNote_t note : notes)
      switch (note) {
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case CUDNN_NUMERICAL_NOTE_FFT:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD: return false;
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS: if (as_precise_as_f32) return false; break;
        default: break;
      }
    return true;
  }
};

// An engine made ready for one graph.
struct Destroy {
  void operator()(void* descriptor) const { (void)dnn().cudnnBackendDestroyDescriptor(static_cast<cudnnBackendDescriptor_t>(descriptor)); }
};
struct Executable {
  std::unique_ptr<void, Destroy> configuration, plan;  // the plan refers to its configuration
  std::size_t workspace;
  std::int64_t engine;
};

inline Executable compile(const Graph& graph, const Rules& rules, const Target& target) {
  const Request& request = graph.request();
  Descriptor operations(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, request);
  operations.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::int64_t(graph.operations().size()), graph.operations().data());
  if (target.handle) operations.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
  operations.finish("joining operations to a graph");
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, request);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations).set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (target.device) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.device);
    if (heuristics.try_finish() != CUDNN_STATUS_SUCCESS) continue;  // knows nothing of this graph
    std::int64_t count = 0;
    const auto counted = dnn().cudnnBackendGetAttribute(heuristics.raw(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr);
    if (counted != CUDNN_STATUS_SUCCESS || count == 0) continue;
    std::deque<Descriptor> choices;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (std::int64_t i = 0; i < count; ++i) raw.push_back(choices.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, request).raw());
    count = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, raw.data());  // may be fewer
    for (std::int64_t i = 0; i < count; ++i) {
      Descriptor& choice = choices[std::size_t(i)];
      Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, request);
      cudnnBackendDescriptor_t raw_engine = engine.raw();
      choice.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw_engine);
      std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
      notes.resize(std::size_t(engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, std::int64_t(notes.size()), notes.data())));
      if (!rules.allow(notes)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, request);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, choice);
      if (target.handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target.handle);
      if (target.device) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.device);
      if (plan.try_finish() != CUDNN_STATUS_SUCCESS) continue;  // not here, after all
      std::int64_t bytes = 0, index = -1;
      plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
      engine.get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
      if (std::size_t(bytes) > rules.most_workspace) continue;
      return {std::unique_ptr<void, Destroy>(choice.give_away()), std::unique_ptr<void, Destroy>(plan.give_away()), std::size_t(bytes), index};
    }
  }
  refuse(request, "no engine for these shapes keeps our rules (same bits each time" + std::string(rules.as_precise_as_f32 ? ", f32 without tf32)" : ")"));
}

}  // namespace sspo::cuda::inline gpu
