#include "sspo/grad/node.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "backend.hpp"
#include "sspo/grad/trace.hpp"
#include "sspo/grad/call.hpp"
#include "sspo/grad/finite_watch.hpp"

namespace sspo {

// A chain of a million ops must not recurse a million deep when it is freed: the nodes that die with
// this one are moved into a list that the outermost destructor empties.
Node::~Node() {
  thread_local std::vector<Shared<const Node>>* dying = nullptr;
  std::vector<Shared<const Node>> list;
  const bool outermost = dying == nullptr;
  if (outermost) dying = &list;
  for (Edge& e : inputs)
    if (e.node) dying->push_back(std::move(e.node));
  if (!outermost) return;
  while (!list.empty()) {
    const Shared<const Node> last = std::move(list.back());
    list.pop_back();
  }
  dying = nullptr;
}

Tensor track(const Tensor& x, std::string label, Site at) {
  static constexpr OpInfo leaf{"leaf"};
  if (!x.defined() || !is_floating(x.dtype()))
    fail({.op = "track", .what = "only floating-point tensors have gradients", .expected = "f32, f64, bf16 or f16", .got = x.str()}, at);
  auto node = Shared<Node>::make();
  node->op = &leaf;
  node->meta = x.meta();
  node->label = std::move(label);
  return x.with_node(std::move(node));
}

std::string graph(const Tensor& y) {
  if (!y.tracked()) return "not tracked: " + y.str() + "\n";
  // From the last made to the first; leaves at the end, as they are met.
  using Place = std::pair<unsigned, int>;  // (ops made since, -order of arrival)
  const auto since = [&](const Node& n) { return n.pullback ? unsigned(y.node()->depth) - unsigned(n.depth) : ~0u; };
  std::map<Place, const Node*> waiting{{{since(*y.node()), 0}, y.node().get()}};
  std::unordered_set<const Node*> met{y.node().get()};
  std::vector<const Node*> order;
  while (!waiting.empty()) {
    const Node* n = waiting.begin()->second;
    waiting.erase(waiting.begin());
    order.push_back(n);
    for (const Edge& e : n->inputs)
      if (e.node && met.insert(e.node.get()).second) waiting.emplace(Place{since(*e.node), -int(met.size())}, e.node.get());
  }
  std::unordered_map<const Node*, std::size_t> place;
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = order.size() - 1 - i;
  const auto number = [&](const Node* n) {
    return "%" + std::to_string(place.at(n));
  };
  std::string text;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = **it;
    text += number(&n) + " = " + std::string(n.op->name) + "(";
    for (std::size_t i = 0; i < n.inputs.size(); ++i)
      text += (i ? ", " : "") + (n.inputs[i].node ? number(n.inputs[i].node.get()) : n.inputs[i].meta.shape.str());
    std::size_t bytes = 0;
    for (const Tensor& k : n.kept)
      if (k.defined()) bytes += std::size_t(k.numel()) * size_of(k.dtype());
    if (n.kept_y.defined()) bytes += std::size_t(n.kept_y.numel()) * size_of(n.kept_y.dtype());
    text += ")  " + n.meta.shape.str() + " " + std::string(name_of(n.meta.dtype));
    if (!n.label.empty()) text += "  '" + n.label + "'";
    if (bytes) text += "  keeps " + std::to_string(bytes) + " B";
    text += "\n";
  }
  return text;
}

namespace detail {
namespace {
thread_local RecordingPause* pause = nullptr;
thread_local unsigned deepest = 0;  // of this thread's nodes
thread_local const OpInProgress* in_progress = nullptr;
}

OpInProgress::OpInProgress(const OpInfo& op, std::span<const Tensor> inputs, Site at, bool gradient)
    : op_(op), inputs_(inputs), at_(in_progress && in_progress->at_.line ? in_progress->at_ : at), gradient_(gradient), outer_(in_progress), outer_label_(memory_label()) {
  in_progress = this;
  memory_label() = op.name.data();
}
OpInProgress::~OpInProgress() {
  in_progress = outer_;
  memory_label() = outer_label_;
}
const OpInProgress* OpInProgress::current() { return in_progress; }
std::string OpInProgress::text() const {
  std::string text = (gradient_ ? "the gradient of " : "") + std::string(op_.name);
  const char* between = " of ";
  for (const Tensor& x : inputs_)
    if (x.defined()) text += std::exchange(between, ", ") + x.str();
  return outer_ ? text + ", within " + outer_->text() : text;
}

RecordingPause::RecordingPause() : outer_(pause) { pause = this; }
RecordingPause::~RecordingPause() {
  pause = outer_;
  if (!pause) return;
  pause->met_ |= met_;
  for (const Tensor& p : parameters_) pause->meet(p);
}
void RecordingPause::meet(const Tensor& x) {
  if (x.storage()->label.empty()) return;
  const auto same = [&](const Tensor& p) { return p.storage() == x.storage(); };
  if (std::none_of(parameters_.begin(), parameters_.end(), same)) parameters_.push_back(x.with_node(nullptr));
}
bool RecordingPause::met_tracked() const { return met_; }

CallRecord::CallRecord(const OpInfo& op, std::span<const Tensor> inputs, Site at) : op_(op), inputs_(inputs), progress_(op, inputs, at) {
  const Tensor* first = nullptr;
  for (const Tensor& x : inputs) {
    if (!x.defined()) continue;
    if (!first) first = &x;
    if (!(x.device() == first->device()))
      fail({.op = std::string(op.name), .what = "operands are on different devices", .expected = first->device().name() + ", where the first operand is",
            .got = x.device().name(), .hint = "make both on one Device handle"}, at);
    tracked |= x.tracked();
  }
  if (!first) fail({.op = std::string(op.name), .what = "no operand is defined", .expected = "a tensor", .got = "Tensor{}"}, at);
  if (pause) {
    pause->met_ |= tracked;
    tracked = false;
    for (const Tensor& x : inputs)
      if (x.defined()) pause->meet(x);
  }
  if (Trace* trace = first->device().state().trace) start_us_ = trace->now_us();
}

void CallRecord::finish(const Tensor& y) {
  if (FiniteWatch* watch = FiniteWatch::current()) watch->look(op_.name, inputs_, y);
  Trace* trace = y.device().state().trace;
  if (!trace || start_us_ < 0) return;
  std::string shapes;
  std::size_t bytes = std::size_t(y.numel()) * size_of(y.dtype());
  for (const Tensor& x : inputs_) {
    if (!x.defined()) continue;
    shapes += (shapes.empty() ? "" : ", ") + x.str();
    bytes += std::size_t(x.numel()) * size_of(x.dtype());
  }
  trace->add({op_.name, shapes + " -> " + y.str(), start_us_, trace->now_us() - start_us_, bytes, y.device().memory().in_use});
}

Shared<Node> make_node(const OpInfo& op, std::span<const Tensor> inputs, const Tensor& y) {
  auto node = Shared<Node>::make();
  node->op = &op;
  node->meta = y.meta();
  node->kept.resize(inputs.size());
  for (const Tensor& x : inputs) {
    node->inputs.push_back({x.node(), x.defined() ? x.meta() : Meta{}});
    if (x.tracked() && int(unsigned(x.node()->depth) - deepest) > 0) deepest = unsigned(x.node()->depth);  // another thread made it
  }
  node->depth = int(++deepest);
  return node;
}

}  // namespace detail
}  // namespace sspo
