// Matrix products by cuBLASLt. The handle belongs to no stream; its thread makes it at the first product and destroys it at its end.
#include <cublasLt.h>

#include "../libraries.hpp"
#include "shared_library.hpp"

namespace sspo::cuda::inline gpu {
namespace {

using library::Columns;
using library::GemmPlan;

std::string text_of(const GemmPlan& p) {
  const auto matrix = [](const Columns& x) {
    return library::joined({x.rows, x.cols}) + (x.transposed ? "ᵀ" : "") + " ld " + std::to_string(x.ld);
  };
  const std::string types = std::string(name_of(p.in)) + " -> " + std::string(name_of(p.out));
  return std::to_string(p.batch) + " x " + matrix(p.a) + " times " + matrix(p.b) + ", " + types + ", by columns";
}

struct Lt {
  library::SharedLibrary file{"cuBLASLt", "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR), "--matmul own"};
  SSPO_ENTRY(cublasLtCreate);
  SSPO_ENTRY(cublasLtDestroy);
  SSPO_ENTRY(cublasLtGetStatusName);
  SSPO_ENTRY(cublasLtMatmul);
  SSPO_ENTRY(cublasLtMatmulAlgoGetHeuristic);
  SSPO_ENTRY(cublasLtMatmulDescCreate);
  SSPO_ENTRY(cublasLtMatmulDescDestroy);
  SSPO_ENTRY(cublasLtMatmulDescSetAttribute);
  SSPO_ENTRY(cublasLtMatmulPreferenceCreate);
  SSPO_ENTRY(cublasLtMatmulPreferenceDestroy);
  SSPO_ENTRY(cublasLtMatmulPreferenceSetAttribute);
  SSPO_ENTRY(cublasLtMatrixLayoutCreate);
  SSPO_ENTRY(cublasLtMatrixLayoutDestroy);
  SSPO_ENTRY(cublasLtMatrixLayoutSetAttribute);
};
const Lt& lt() {
  static const Lt all;
  return all;
}

void check(cublasStatus_t status, const char* what, const std::string& got) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail({.op = "cublas_gemm", .what = "cuBLASLt: " + std::string(what) + " failed: " + lt().cublasLtGetStatusName(status), .expected = "CUBLAS_STATUS_SUCCESS",
        .got = got, .hint = "--matmul own multiplies by our own kernels", .kind = ErrorKind::internal});
}

cublasLtHandle_t handle(const std::string& shapes) {
  struct Handle {
    explicit Handle(const std::string& wanted_for) { check(lt().cublasLtCreate(&it), "making its handle", wanted_for); }
    ~Handle() { (void)lt().cublasLtDestroy(it); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    cublasLtHandle_t it = nullptr;
  };
  static thread_local const Handle of_thread(shapes);
  return of_thread.it;
}

// What cuBLASLt makes and unmakes by pairs of functions.
template <class T, auto destroy> struct Owned {
  Owned() = default;
  ~Owned() { if (it) (void)(lt().*destroy)(it); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T it = nullptr;
};
using Layout = Owned<cublasLtMatrixLayout_t, &Lt::cublasLtMatrixLayoutDestroy>;
using Product = Owned<cublasLtMatmulDesc_t, &Lt::cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, &Lt::cublasLtMatmulPreferenceDestroy>;

cudaDataType_t type_of(DType t) { return t == DType::f64 ? CUDA_R_64F : t == DType::f32 ? CUDA_R_32F : CUDA_R_16BF; }

cublasLtEpilogue_t epilogue_of(const GemmPlan& p) {
  if (p.act == Activation::relu) return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  if (p.act == Activation::gelu_tanh) return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

void call_cublas(const Context& ctx, const GemmPlan& p) {
  const std::string shapes = text_of(p);
  const auto must = [&](cublasStatus_t status, const char* what) { check(status, what, shapes); };
  const cublasLtHandle_t here = handle(shapes);
  const DType sum = p.out == DType::f64 ? DType::f64 : DType::f32;

  Product product;                                                                    // 1. the product: types, transposes, epilogue
  const cublasComputeType_t compute = sum == DType::f64 ? CUBLAS_COMPUTE_64F : p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  must(lt().cublasLtMatmulDescCreate(&product.it, compute, type_of(sum)), "describing a product");
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
    must(lt().cublasLtMatmulDescSetAttribute(product.it, what, &value, sizeof value), "describing a product");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_TRANSB, p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
  if (p.bias) {
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.out));
  }

  Layout a, b, c, d;                                                                  // 2. the matrices
  const auto lay_out = [&](Layout& layout, const Columns& x, DType type) {
    must(lt().cublasLtMatrixLayoutCreate(&layout.it, type_of(type), std::uint64_t(x.rows), std::uint64_t(x.cols), x.ld), "describing a matrix");
    const auto put = [&](cublasLtMatrixLayoutAttribute_t what, const auto& value) {
      must(lt().cublasLtMatrixLayoutSetAttribute(layout.it, what, &value, sizeof value), "describing a batch");
    };
    put(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t(p.batch));
    put(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t(x.batch_step));
  };
  lay_out(a, p.a, p.in), lay_out(b, p.b, p.in), lay_out(c, p.c, p.out), lay_out(d, p.d, p.out);

  Preference prefer;                                                                  // 3. how: for these alignments, sums in the sum's type
  must(lt().cublasLtMatmulPreferenceCreate(&prefer.it), "stating preferences");
  const auto want = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    must(lt().cublasLtMatmulPreferenceSetAttribute(prefer.it, what, &value, sizeof value), "stating preferences");
  };
  want(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(library::most_workspace));
  want(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t(library::alignment_of(p.a.data, 256)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t(library::alignment_of(p.b.data, 256)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t(library::alignment_of(p.c.data, 256)));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t(library::alignment_of(p.d.data, 256)));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  must(lt().cublasLtMatmulAlgoGetHeuristic(here, product.it, a.it, b.it, c.it, d.it, prefer.it, 1, &best, &found), "looking for an algorithm");
  must(found > 0 ? best.state : CUBLAS_STATUS_NOT_SUPPORTED, "looking for an algorithm");

  const float alpha = float(p.alpha), beta = float(p.beta);                           // 4. go
  const LibraryWorkspace space(ctx, best.workspaceSize, "cublas_gemm");
  must(lt().cublasLtMatmul(here, product.it, sum == DType::f64 ? static_cast<const void*>(&p.alpha) : &alpha, p.a.data, a.it, p.b.data, b.it,
                      sum == DType::f64 ? static_cast<const void*>(&p.beta) : &beta, p.c.data, c.it, const_cast<void*>(p.d.data), d.it, &best.algo,
                      space.data(), best.workspaceSize, static_cast<cudaStream_t>(ctx.stream.handle())),
       "a product");
}

}  // namespace sspo::cuda::inline gpu
