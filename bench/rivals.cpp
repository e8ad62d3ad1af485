// The C++ libraries we compare with, where Debian has them: oneDNN and OpenBLAS.
#include <memory>

#include "bench.hpp"

#if defined(BENCH_ONEDNN)
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#endif
#if defined(BENCH_OPENBLAS)
#include <cblas.h>
#endif

namespace bench {
namespace {

struct Gemm {
  Index m, n, k;
  bool nt;  // B is [N, K]
  std::vector<float> a, b, c;
};

// Row-major [M, K] times [K, N] (nn) or [N, K] transposed (nt).
template <class F>
void add_gemm(const std::string& side, void (*set_threads)(int), F gemm) {
  for (const char* kind : {"gemm_nn", "gemm_nt"})
    add_side(side, kind, [=](const Row& row, int threads) -> Work {
      if (row.dtype != DType::f32) return {};
      const Index m = row.shape[0], n = row.shape[1], k = row.shape[2];
      auto g = std::make_shared<Gemm>(Gemm{m, n, k, row.kind == "gemm_nt", values(m * k, 1), values(k * n, 2), values(m * n, 3)});
      set_threads(threads);
      return [=] { gemm(*g); };
    });
}

}  // namespace

void add_rivals() {
#if defined(BENCH_ONEDNN)
  add_gemm("onednn", omp_set_num_threads, [](Gemm& g) {
    dnnl_sgemm('N', g.nt ? 'T' : 'N', g.m, g.n, g.k, 1.0f, g.a.data(), g.k, g.b.data(), g.nt ? g.k : g.n, 0.0f, g.c.data(), g.n);
  });
#endif
#if defined(BENCH_OPENBLAS)
  add_gemm("openblas", openblas_set_num_threads, [](Gemm& g) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, g.nt ? CblasTrans : CblasNoTrans, int(g.m), int(g.n), int(g.k), 1.0f, g.a.data(),
                int(g.k), g.b.data(), int(g.nt ? g.k : g.n), 0.0f, g.c.data(), int(g.n));
  });
#endif
}

}  // namespace bench
