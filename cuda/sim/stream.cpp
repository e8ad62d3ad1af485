// Streams, events, pinned memory and copies of the simulator, and the failures that tests inject into them. Work is done at once, in the
// order it is given; with set_lazy(true), or recorded as a graph, it waits with copies of its arguments until the host waits for it.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>

#include "checker.hpp"
#include "sim.hpp"
#include "sspo/base/error.hpp"
#include "sspo/grad/call.hpp"

namespace sspo::cuda::inline sim {
namespace {

using Clock = std::chrono::steady_clock;

struct Injected {
  Call call;
  Answer answer;
  int after;
};
struct Failures {
  std::mutex mutex;
  std::vector<Injected> injected;
  std::uint64_t calls[call_kinds] = {};
};
Failures& failures() {
  static Failures& f = *new Failures;
  return f;
}
bool lazy = false;

struct Work {
  std::optional<Call> call;  // none: no call of the runtime, cannot fail
  Asked asked;
  std::optional<LaunchPlan> plan;
  std::function<void()> run;
};
void perform(Work& w) {
  w.asked.plan = w.plan ? &*w.plan : nullptr;  // the work may have moved
  if (w.call) ask(*w.call, w.asked);
  w.run();
}

}  // namespace

void fail_next(Call call, Answer answer, int after) {
  const std::lock_guard guard(failures().mutex);
  failures().injected.push_back({call, answer, after});
}
void restore_device() {
  const std::lock_guard guard(failures().mutex);
  failures().injected.clear();
  forget_loss();
  set_limits({.name = "cuda-sim"});
}
std::uint64_t calls(Call call) {
  const std::lock_guard guard(failures().mutex);
  return failures().calls[int(call)];
}
void set_lazy(bool on) { lazy = on; }

void ask(Call call, const Asked& asked) {
  require_device(asked.who);
  Answer answer = Answer::success;
  {
    Failures& f = failures();
    const std::lock_guard guard(f.mutex);
    ++f.calls[int(call)];
    for (auto it = f.injected.begin(); it != f.injected.end(); ++it)
      if (it->call == call && it->after-- == 0) {
        answer = it->answer;
        f.injected.erase(it);
        break;
      }
  }
  check(answer, asked);
}

std::string text_of(Answer a) {
  struct Text { Answer answer; const char* name; const char* text; };
  static constexpr Text texts[] = {
      {Answer::success, "cudaSuccess", "no error"},
      {Answer::invalid_value, "cudaErrorInvalidValue", "invalid argument"},
      {Answer::out_of_memory, "cudaErrorMemoryAllocation", "out of memory"},
      {Answer::invalid_configuration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
      {Answer::devices_unavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
      {Answer::no_kernel_image, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
      {Answer::uncorrectable_memory, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
      {Answer::illegal_address, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
      {Answer::out_of_resources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
      {Answer::misaligned_address, "cudaErrorMisalignedAddress", "misaligned address"},
      {Answer::launch_failure, "cudaErrorLaunchFailure", "unspecified launch failure"},
  };
  for (const Text& t : texts)
    if (t.answer == a) return std::string(t.name) + " (" + std::to_string(int(a)) + "): " + t.text;
  return "cudaError " + std::to_string(int(a));
}
std::string code_held() { return "9.0, cuda-sim's own"; }

// --- streams

struct Stream::State {
  bool graphs = false;
  std::recursive_mutex mutex;  // works are given and done under it: a stream is one order
  std::deque<Work> recorded, queued;
  std::uint64_t given = 0, done = 0;  // works queued, and done, since the stream was made
  std::set<std::size_t> lengths;      // of the graphs made
  GraphCounts counts;

  bool later() const { return graphs || lazy; }
  void record_or_queue(Work w) {
    if (const auto* op = detail::OpInProgress::current()) w.asked.op = op->text();
    w.asked.promised = true;
    const std::lock_guard guard(mutex);
    if (graphs) recorded.push_back(std::move(w));
    else queue(std::move(w));
  }
  void queue(Work w) {
    const std::lock_guard guard(mutex);
    queued.push_back(std::move(w));
    ++given;
    if (!lazy) run(given);
  }
  // Does what is queued, up to the work of this number. What fails takes with it what the host believed done.
  void run(std::uint64_t until) {
    const std::lock_guard guard(mutex);
    while (done < until && !queued.empty()) {
      Work w = std::move(queued.front());
      queued.pop_front();
      ++done;
      try {
        perform(w);
      } catch (const std::exception& e) {
        if (w.asked.promised) lose_device(e.what());
        done = given, queued.clear();
        throw;
      }
    }
  }
  void run_all() { run(~std::uint64_t(0)); }
};
struct RawStream {
  using State = Stream::State;
};
namespace {

RawStream::State& state_of(Stream& s) { return *static_cast<RawStream::State*>(s.handle()); }

// A call of the runtime: now, or when the stream gets there.
template <class Run> void give(Stream& stream, Call call, const Asked& asked, Run run) {
  RawStream::State& s = state_of(stream);
  if (s.later()) return s.record_or_queue({call, asked, {}, run});
  s.run_all();
  ask(call, asked);
  run();
}
// What the checker is told, in the stream's order.
template <class Run> void note(Stream& stream, Run run) {
  if (device_lost()) return run();
  RawStream::State& s = state_of(stream);
  if (s.later()) s.record_or_queue({{}, {"", ""}, {}, run});
  else run();
}

}  // namespace

Stream::Stream(bool graphs) : state_(std::make_shared<State>()) { state_->graphs = graphs; }
Stream::~Stream() {
  try {
    if (!device_lost()) state_->run_all();
  } catch (const Error&) {  // nobody waits for it
  }
}
void* Stream::handle() {
  require_device("stream");
  return state_.get();
}
void Stream::flush() {
  State& s = *state_;
  const std::lock_guard guard(s.mutex);
  if (s.recorded.empty()) return;
  std::deque<Work> graph = std::move(s.recorded);
  s.recorded.clear();
  const auto nodes = std::size_t(std::count_if(graph.begin(), graph.end(), [](const Work& w) { return w.call.has_value(); }));
  if (nodes > 0) {
    ask(Call::graph, {.what = "launching a graph", .who = "stream", .promised = true});
    ++s.counts.launched;
    s.counts.made += s.lengths.insert(nodes).second;
  }
  s.given += graph.size();
  for (Work& w : graph) s.queued.push_back(std::move(w));
  if (!lazy) s.run_all();
}
void Stream::synchronize() {
  flush();
  ask(Call::wait, {.what = "waiting for work", .who = "stream"});
  state_->run_all();
}
GraphCounts Stream::graphs() const {
  const std::lock_guard guard(state_->mutex);
  return state_->counts;
}

void queue_grid(Stream& stream, const LaunchPlan& plan, void (*body)(void*), const void* closure, std::size_t bytes) {
  RawStream::State& s = state_of(stream);
  const Asked asked{.what = "launch", .who = plan.kernel, .plan = &plan};
  if (s.later()) {
    std::vector<std::max_align_t> kept((bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
    std::memcpy(kept.data(), closure, bytes);
    return s.record_or_queue({Call::launch, asked, plan, [plan, body, kept]() mutable { run_grid(plan, body, kept.data()); }});
  }
  s.run_all();
  ask(Call::launch, asked);
  run_grid(plan, body, const_cast<void*>(closure));
}

void note_block(Stream& stream, const void* p, std::size_t bytes, const char* what) noexcept {
  note(stream, [=] { note_block(p, bytes, what); });
}
void note_block_gone(Stream& stream, const void* p) noexcept {
  note(stream, [=] { note_block_gone(p); });
}

// --- events

struct Event::State {
  std::shared_ptr<Stream::State> stream;
  std::uint64_t place = 0;
  std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
};
void Stream::wait(const Event& event) {
  flush();
  ask(Call::wait, {.what = "waiting for another stream", .who = "stream"});
  if (const auto other = event.state_->stream) state_->queue({{}, {"", ""}, {}, [other, place = event.state_->place] { other->run(place); }});
}
Event::Event() : state_(std::make_unique<State>()) {}
Event::~Event() = default;
void Event::record(Stream& stream) {
  stream.flush();
  require_device("event");
  Stream::State& s = *stream.state_;
  const std::lock_guard guard(s.mutex);
  state_->time = std::make_shared<Clock::time_point>();
  s.queue({{}, {"", ""}, {}, [time = state_->time] { *time = Clock::now(); }});
  state_->stream = stream.state_, state_->place = s.given;
}
void Event::wait() const {
  ask(Call::wait, {.what = "waiting for work", .who = "event"});
  if (state_->stream) state_->stream->run(state_->place);
}
bool Event::done() const {
  require_device("event");
  if (!state_->stream) return true;
  const std::lock_guard guard(state_->stream->mutex);
  return state_->stream->done >= state_->place;
}
double Event::milliseconds_since(const Event& earlier) const {
  require_device("event");
  if (!state_->stream || !earlier.state_->stream || !done() || !earlier.done())
    fail({.op = "event", .what = "time between events that are not done", .expected = "two that were recorded and waited for", .got = "one that was not"}, Site{});
  return std::chrono::duration<double, std::milli>(*state_->time - *earlier.state_->time).count();
}

// --- pinned memory, copies

Pinned::Pinned(std::size_t bytes) : data_(nullptr), bytes_(bytes) {
  ask(Call::allocate, {.what = "pinning memory of the host", .who = "copies", .bytes = bytes});
  data_ = new char[bytes];
}
Pinned::~Pinned() { delete[] data_; }

namespace {

void copy_to_device(void* device, const void* host, std::size_t bytes) {
  std::memcpy(device, host, bytes);
  note_written_by_host(device, bytes);
}
Asked copying(const char* what, std::size_t bytes) { return {.what = what, .who = "copy", .bytes = bytes}; }

}  // namespace

void upload(Stream& s, void* device, const Pinned& from, std::size_t first, std::size_t bytes) {
  const char* const host = from.data() + first;
  give(s, Call::copy, copying("copying to the device", bytes), [=] { copy_to_device(device, host, bytes); });
}
void download(Stream& s, const Pinned& to, std::size_t first, const void* device, std::size_t bytes) {
  char* const host = to.data() + first;
  give(s, Call::copy, copying("copying from the device", bytes), [=] { std::memcpy(host, device, bytes); });
}
void copy_in(Stream& stream, void* device, const void* host, std::size_t bytes) {
  stream.flush();
  if (!bytes) return;
  RawStream::State& s = state_of(stream);
  const char* const from = static_cast<const char*>(host);
  const std::vector<char> kept(from, lazy ? from + bytes : from);  // the host's own may change before the stream gets there
  s.queue({Call::copy, copying("copying to the device", bytes), {}, [=] { copy_to_device(device, kept.empty() ? from : kept.data(), bytes); }});
}
void copy_out(Stream& stream, void* host, const void* device, std::size_t bytes) {
  stream.flush();
  if (!bytes) return;
  ask(Call::copy, copying("copying from the device", bytes));
  stream.synchronize();
  std::memcpy(host, device, bytes);
}
void copy_within(Stream& s, void* to, const void* from, std::size_t bytes) {
  if (!bytes) return;
  give(s, Call::copy, copying("copying on the device", bytes), [=] {
    std::memmove(to, from, bytes);
    note_copied(to, from, bytes);
  });
}
void fill(Stream& s, void* device, int byte, std::size_t bytes) {
  if (!bytes) return;
  give(s, Call::copy, {.what = "filling memory", .who = "fill", .bytes = bytes}, [=] {
    std::memset(device, byte, bytes);
    note_written_by_host(device, bytes);
  });
}

}  // namespace sspo::cuda::inline sim
