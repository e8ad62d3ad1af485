// A tour of tensors.
// Learned here: tensors are values; broadcasting; backward() returns gradients instead of writing them
// somewhere; a graph, memory and errors can be printed and read.
#include <sspo/sspo.hpp>

#include <cstdio>

using namespace sspo;

int main() {
  // 1. Make. The last line of a printed tensor is always its shape and type.
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});    // [2, 3]
  const Tensor noise = normal(Rng{42} / "noise", {2, 3});              // a pure function of seed and path
  std::printf("x      %s\nnoise  %s\n", to_string(x).c_str(), to_string(noise).c_str());

  // 2. View. transpose, slice, expand, ... share the storage of what they look at: no number is copied.
  const Tensor t = transpose(x);                                       // [3, 2]
  std::printf("xᵀ     %s, same memory: %s\n", to_string(t).c_str(), t.storage() == x.storage() ? "yes" : "no");

  // 3. Broadcast. Shapes are aligned at the right; an extent of 1, or none, stretches.
  const Tensor row = Tensor::from<float>({10, 20, 30}, {3});           // [3] -> [2, 3]
  std::printf("x+row  %s\n", to_string(x + row).c_str());

  // 4. Differentiate. track() makes a leaf; what is computed from it is recorded; backward() returns
  //    dloss/dleaf for every leaf. No tensor has changed, and nothing must be zeroed before the next call.
  const Tensor w = track(ones({3, 2}), "w");                           // [3, 2]
  const Tensor y = silu(matmul(x, w));                                 // [2, 2]
  const Tensor loss = mean(square(y - 1.0));                           // []
  const Gradients g = backward(loss);
  std::printf("loss   %s\ndL/dw  %s\n", to_string(loss).c_str(), to_string(g[w]).c_str());

  // 5. Look inside. One line an op, inputs above results, with the bytes it keeps for backward.
  std::printf("\nThe graph behind the loss:\n%s", graph(loss).c_str());
  const MemoryStats m = x.device().memory();
  std::printf("\n%s: %zu bytes in use, %zu at the peak\n", x.device().name().c_str(), m.in_use, m.peak);

  // 6. Go wrong. One exception type; it says what, where, what was expected and what came instead.
  try {
    matmul(x, row + x);                                                // [2, 3] times [2, 3]
  } catch (const Error& e) {
    std::printf("\nA mistake, explained:\n%s\n", e.what());
    return 0;
  }
  return 1;                                                            // the mistake went unseen
}
