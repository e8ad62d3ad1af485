// backward(y): reverse-mode differentiation. Returns gradients as a value and writes into no tensor.
//   Gradients g = backward(loss);
//   const Tensor& dw = g[w];
#pragma once
#include "sspo/grad/node.hpp"

namespace sspo {

// Gradients by leaf, in the order in which the walk met them.
class Gradients {
 public:
  struct Entry {
    Shared<const Node> leaf;
    Tensor value;
  };
  // Throws Error if x is no leaf or nothing flowed to it.
  const Tensor& operator[](const Tensor& x) const;
  const Tensor* find(const Tensor& x) const;  // null where operator[] would throw
  const Tensor* find(const Node* leaf) const;
  void add(const Shared<const Node>& leaf, const Tensor& value);
  void add(const Gradients& other);
  std::size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
  std::vector<const Node*> leaves_;  // of the entries, side by side: quick to scan
};

struct BackwardOptions {
  Tensor seed = {};             // dL/dy; by default 1, and then y must be a scalar
  bool differentiable = false;  // record the gradient's own graph: gradients of gradients
};
Gradients backward(const Tensor& y, BackwardOptions options = {}, Site at = Site::current());
// Adds to gradients already there: accumulation over micro-batches.
void backward(const Tensor& y, Gradients& into, BackwardOptions options = {}, Site at = Site::current());

// Memory for time: runs f without keeping its inner results, and runs it again during backward. f must
// be a pure function of its inputs and of parameters. Same bits as without.
//   h = recompute([&](const Tensors& in) { return block(in[0], in[1]); }, {x, temb});
Tensor recompute(Function<Tensor(const Tensors&)> f, Tensors inputs);

}  // namespace sspo
