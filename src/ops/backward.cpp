#include "sspo/grad/backward.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/op.hpp"
#include "sspo/ops/reduce.hpp"

namespace sspo {
namespace {

std::string leaf_name(const Node* leaf) { return leaf && !leaf->label.empty() ? "'" + leaf->label + "'" : "the tensor"; }

// A parameter that changed after the graph saved it would give a silently wrong gradient.
void check_fresh(const Node& n, Site at) {
  const auto check = [&](const Tensor& t) {
    if (t.defined() && t.stale())
      fail({.op = "backward", .what = "a parameter was changed after the graph saved it",
            .expected = "backward before the optimizer's step", .got = "'" + t.storage()->label + "', saved by " + std::string(n.op->name),
            .hint = "run the forward pass again after step(), or call backward first"}, at);
  };
  for (const Tensor& t : n.kept) check(t);
  for (const Tensor& t : n.watched) check(t);
  check(n.kept_y);
}

// A gradient of a gradient runs the op's reference, which takes every operand. One that was not kept is
// one on whose numbers no gradient depends: zeros do as well.
Tensors reference_operands(const Node& n, const Device& device) {
  Tensors operands = n.kept;
  for (Tensor& x : operands)
    if (!x.defined() && x.rank() > 0) x = expand(full({}, 0, x.dtype(), device), x.shape());
  return operands;
}

// The sum over the axes along which `to` was stretched: broadcasting, undone.
Tensor sum_to(Tensor g, const Shape& to) {
  if (g.shape() == to) return g;
  std::vector<int> axes;
  const int lead = g.rank() - to.rank();
  for (int a = 0; a < g.rank(); ++a)
    if (a < lead || (to[a - lead] == 1 && g.dim(a) != 1)) axes.push_back(a);
  return reshape(sum(std::move(g), axes, true), to);
}

}  // namespace

const Tensor* Gradients::find(const Node* leaf) const {
  const auto it = std::find(leaves_.begin(), leaves_.end(), leaf);
  return it == leaves_.end() ? nullptr : &entries_[std::size_t(it - leaves_.begin())].value;
}
const Tensor* Gradients::find(const Tensor& x) const { return x.tracked() ? find(x.node().get()) : nullptr; }

const Tensor& Gradients::operator[](const Tensor& x) const {
  if (const Tensor* g = find(x)) return *g;
  fail({.op = "gradients", .what = "no gradient for this tensor",
        .expected = "a tracked leaf (a parameter, or track(x)) that the result depends on",
        .got = leaf_name(x.node().get()) + " " + x.str() + (x.tracked() ? (x.node()->pullback ? ", the result of " + std::string(x.node()->op->name) : ", to which nothing flowed") : ", not tracked")}, Site{});
}

void Gradients::add(const Shared<const Node>& leaf, const Tensor& value) {
  const auto it = std::find(leaves_.begin(), leaves_.end(), leaf.get());
  if (it == leaves_.end()) {
    entries_.push_back({leaf, value});
    leaves_.push_back(leaf.get());
  } else {
    Tensor& sum = entries_[std::size_t(it - leaves_.begin())].value;
    Tensor old = std::move(sum);
    sum = sspo::add(std::move(old), value);  // reuses the sum's own buffer
  }
}
void Gradients::add(const Gradients& other) {
  for (const Entry& e : other) add(e.leaf, e.value);
}

namespace {

constexpr OpInfo recompute_info{"recompute", "f(x), run again in backward"};

using ToInput = Function<void(std::size_t input, Tensor g)>;
struct Stops {
  std::unordered_map<const Node*, std::size_t> numbers;  // nodes that stand for the inputs of a function
  ToInput to_input;
};

// The walk of reverse mode. It ends at leaves and at nodes in `stops`.
void walk(const Tensor& y, Tensor seed, bool differentiable, const Stops& stops, Gradients& into, Site at);

// dL/dinputs of y = f(inputs), by running f again and walking back to the inputs alone. Every contribution goes to `leaves` (those
// that f reached by itself, parameters) or to to_input the moment it is known: all sums are made in the order that they have where f
// is recorded, and so to the same bits.
void gradient_through(const Function<Tensor(const Tensors&)>& f, const Tensors& inputs, const std::vector<bool>& need, const Tensor& g, bool differentiable,
                      Gradients& leaves, const ToInput& to_input, Site at) {
  static constexpr OpInfo alias_info{"alias", "x"};
  Tensors alias = inputs;
  Stops stops{.numbers = {}, .to_input = to_input};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!need[i]) continue;
    auto node = detail::make_node(alias_info, {&inputs[i], 1}, inputs[i]);
    node->pullback = [](const PullArgs& p) { return Tensors{p.g}; };
    stops.numbers.emplace(node.get(), i);
    alias[i] = inputs[i].with_node(std::move(node));
  }
  const Tensor y = f(alias);
  if (y.tracked()) walk(y, g, differentiable, stops, leaves, at);
}

void walk(const Tensor& y, Tensor seed, bool differentiable, const Stops& stops, Gradients& into, Site at) {
  // From the last made to the first, so that a node's gradient is complete when its turn comes. Those that threads made side by
  // side go in the order in which they were reached: the sums are made in the same order in every run.
  struct Pending {
    Shared<const Node> node;
    Tensor g;
  };
  using Place = std::pair<unsigned, int>;  // (ops made since, order of arrival)
  std::map<Place, Pending> queue;
  std::unordered_map<const Node*, Place> places;
  int arrivals = 0;
  const auto flow = [&](const Shared<const Node>& node, Tensor g) {
    if (!node->pullback) return into.add(node, g);
    if (const auto stop = stops.numbers.find(node.get()); stop != stops.numbers.end()) return stops.to_input(stop->second, std::move(g));
    const auto [it, fresh] = places.try_emplace(node.get(), unsigned(y.node()->depth) - unsigned(node->depth), arrivals);
    if (fresh) {
      ++arrivals;
      queue.emplace(it->second, Pending{node, std::move(g)});
    } else {
      Tensor& sum = queue.at(it->second).g;
      Tensor old = std::move(sum);
      sum = add(std::move(old), std::move(g));
    }
  };
  flow(y.node(), std::move(seed));
  const Node* current = nullptr;
  const ToInput to_input = [&](std::size_t i, Tensor g) { flow(current->inputs[i].node, std::move(g)); };

  while (!queue.empty()) {
    Pending top = std::move(queue.begin()->second);
    queue.erase(queue.begin());
    places.erase(top.node.get());
    const Node& n = *(current = top.node.get());
    check_fresh(n, at);
    std::vector<bool> need;
    for (const Edge& e : n.inputs) need.push_back(e.node != nullptr);
    Tensors grads;
    const detail::OpInProgress progress(*n.op, n.kept, at, true);
    if (!differentiable && n.op == &recompute_info) {
      gradient_through(n.reference, n.kept, need, top.g, false, into, to_input, at);
    } else if (!differentiable) {
      grads = n.pullback({top.g, need, n.kept, n.kept_y, &into});
    } else {
      Tensors inputs = n.reference ? reference_operands(n, top.g.device()) : n.kept;
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i].defined()) inputs[i] = inputs[i].with_node(n.inputs[i].node);
      if (n.reference) gradient_through(n.reference, inputs, need, top.g, true, into, to_input, at);
      else grads = n.pullback({top.g, need, inputs, n.kept_y.defined() ? n.kept_y.with_node(top.node) : Tensor{}, &into});
    }
    top.g = Tensor{};
    for (std::size_t i = 0; i < grads.size(); ++i)
      if (need[i] && grads[i].defined()) flow(n.inputs[i].node, sum_to(std::move(grads[i]), n.inputs[i].meta.shape));
  }
}

}  // namespace

void backward(const Tensor& y, Gradients& into, BackwardOptions options, Site at) {
  if (!y.tracked())
    fail({.op = "backward", .what = "nothing to differentiate by", .expected = "a result that depends on a parameter or a track(x)",
          .got = y.str() + ", not tracked"}, at);
  if (!options.seed.defined() && y.numel() != 1)
    fail({.op = "backward", .what = "the result is not a scalar", .expected = "one element, or a seed dL/dy of shape " + y.shape().str(),
          .got = y.str(), .hint = "reduce it with mean() or sum(), or pass {.seed = ...}"}, at);
  if (options.seed.defined() && !(options.seed.shape() == y.shape() && options.seed.dtype() == y.dtype()))
    fail({.op = "backward", .what = "the seed does not fit the result", .expected = y.str(), .got = options.seed.str()}, at);
  Tensor seed = options.seed.defined() ? options.seed : full(y.shape(), 1.0, y.dtype(), y.device());
  walk(y, std::move(seed), options.differentiable, {}, into, at);
}

Gradients backward(const Tensor& y, BackwardOptions options, Site at) {
  Gradients g;
  backward(y, g, std::move(options), at);
  return g;
}

Tensor recompute(Function<Tensor(const Tensors&)> f, Tensors inputs) {
  detail::CallRecord call(recompute_info, inputs, Site{});
  Tensors plain = inputs;
  for (Tensor& x : plain) x = detach(x);
  Tensor y;
  bool met_parameters;
  Tensors parameters;
  {
    detail::RecordingPause pause;
    y = f(plain);
    met_parameters = pause.met_tracked();
    parameters = pause.parameters();
  }
  if (call.tracked || met_parameters) {
    Shared<Node> node = detail::make_node(recompute_info, inputs, y);
    node->kept = plain;
    node->watched = std::move(parameters);
    node->reference = std::move(f);
    node->pullback = [](const PullArgs&) { return Tensors{}; };  // no leaf; but it is the reference that the walk runs
    y = y.with_node(std::move(node));
  }
  call.finish(y);
  return y;
}

}  // namespace sspo
