// Node: one recorded op. A result points at its node, a node at the nodes of its inputs: that is the
// graph, and it is freed with the last result that needs it. Read `Node`, then backward.hpp.
#pragma once
#include <string_view>
#include <vector>

#include "sspo/base/function.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo {

class Gradients;

struct OpInfo {
  std::string_view name;
  std::string_view formula = {};  // shown by graph() and in the table of ops
};

struct Edge {
  Shared<const Node> node;  // null: no gradient is wanted there
  Meta meta;
};

// What a pullback is given. Tensors it did not keep are undefined.
struct PullArgs {
  const Tensor& g;                 // dL/dy, in y's shape
  const std::vector<bool>& need;   // which inputs want a gradient
  const Tensors& inputs;
  const Tensor& y;
  Gradients* leaves;               // of the walk: gradients of leaves by leaf
};

struct Node {
  const OpInfo* op = nullptr;
  Meta meta;                 // of the result
  std::vector<Edge> inputs;
  Tensors kept;              // per input: the numbers, if the pullback asked for them; without nodes
  Tensor kept_y;             // the result's numbers, likewise: never its own handle, that would be a cycle
  Tensors watched;           // parameters read by a function that will run again (recompute)
  Function<Tensors(const PullArgs&)> pullback;  // (dL/dy) -> dL/dx per input; null for a leaf
  // The maths in plain ops, for gradients of gradients where the pullback is a kernel; may be null.
  Function<Tensor(const Tensors& inputs)> reference;
  std::string label;         // a leaf's name
  int depth = 0;             // below how many ops this thread recorded it (mod 2^32): orders the walk of backward

  Node() = default;
  ~Node();                   // frees long chains by a loop, not by recursion
};

// A leaf: x becomes something to differentiate by.   Tensor x = track(values, "x");  g = backward(f(x))[x]
Tensor track(const Tensor& x, std::string label = {}, Site at = Site::current());
// The same numbers, cut from the graph.
inline Tensor detach(const Tensor& x) { return x.with_node(nullptr); }

// The graph behind a result as text: one line an op, with shapes and kept bytes.
std::string graph(const Tensor& y);

}  // namespace sspo
