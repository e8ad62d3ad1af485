// The runtime's words on cuda-sim: streams, events, pinned memory, staging, graphs; also where work waits as long as a GPU could let it.
#include <doctest/doctest.h>

#include "device_test.hpp"
#include "small_training.hpp"
#include "sspo/cuda.hpp"
#include "staging.hpp"

using namespace sspo;
using namespace sspo::cuda;

namespace {

struct Lazy {
  Lazy() { set_lazy(true); }
  ~Lazy() { set_lazy(false); }
};

struct Ramp {
  int count, step;
};
__global__ void add_ramp(int* x, Ramp ramp) {
  if (int(threadIdx.x) < ramp.count) x[threadIdx.x] += int(threadIdx.x) * ramp.step;
}
void ramp(Stream& s, int* x, int step) { launch(s, {.kernel = "add_ramp", .grid = {1}, .block = {64}}, add_ramp, x, Ramp{64, step}); }
std::vector<int> ramp_of(int step) {
  std::vector<int> v(64);
  for (int i = 0; i < 64; ++i) v[std::size_t(i)] = i * step;
  return v;
}
std::vector<int> seen(const int* device, std::size_t n = 64) { return {device, device + n}; }  // what the device holds now, whatever is queued

void without_findings() {
  std::string text;
  for (const Finding& f : findings()) text += f.text() + "\n";
  INFO(text);
  CHECK(findings().empty());
  reset_findings();
}

}  // namespace

TEST_CASE("stream: work is done in its order, at the latest when the host waits for it") {
  const Lazy lazy;
  TestDevice d;
  const DeviceArray<int> x(d, std::size_t(64));
  fill(d.stream, x.data(), 0, 256);
  d.stream.synchronize();
  ramp(d.stream, x.data(), 1);
  copy_within(d.stream, x.data(), x.data() + 32, 128);  // 32.. to 0..
  ramp(d.stream, x.data(), 2);
  CHECK(seen(x.data()) == std::vector<int>(64));  // nothing yet
  std::vector<int> expected = ramp_of(3);
  for (int i = 0; i < 32; ++i) expected[std::size_t(i)] = 32 + 3 * i;
  CHECK(x.host() == expected);
  std::vector<int> host = ramp_of(7);
  copy_in(d.stream, x.data(), host.data(), 256);
  std::fill(host.begin(), host.end(), -1);  // its own again
  d.stream.synchronize();
  CHECK(seen(x.data()) == ramp_of(7));
}

TEST_CASE("event: marks a place in a stream; orders two streams; time goes forward") {
  const Lazy lazy;
  TestDevice d;
  Stream other;
  const DeviceArray<int> x(d, std::vector<int>(64)), y(d, std::vector<int>(64));
  Event first, second, never;
  ramp(d.stream, x.data(), 1);
  first.record(d.stream);
  ramp(d.stream, x.data(), 1);
  second.record(d.stream);
  CHECK_FALSE(first.done());
  CHECK(never.done());
  never.wait();
  first.wait();
  CHECK((first.done() && !second.done()));
  CHECK(seen(x.data()) == ramp_of(1));
  CHECK_THROWS_WITH_AS(second.milliseconds_since(first), doctest::Contains("not done"), Error);

  other.wait(second);
  copy_within(other, y.data(), x.data(), 256);
  other.synchronize();  // takes the first stream along, up to the event
  CHECK(seen(y.data()) == ramp_of(2));
  CHECK(second.done());
  CHECK(second.milliseconds_since(first) >= 0);
  CHECK(first.milliseconds_since(second) <= 0);
}

TEST_CASE("pinned memory: the device reads it when it gets there, not before") {
  const Lazy lazy;
  TestDevice d;
  const DeviceArray<int> x(d, std::size_t(64));
  const Pinned host(256);
  CHECK(host.size() == 256);
  const auto put = [&](int step) { std::memcpy(host.data(), ramp_of(step).data(), 256); };
  put(3);
  upload(d.stream, x.data(), host, 0, 256);
  put(5);  // too early
  d.stream.synchronize();
  CHECK(seen(x.data()) == ramp_of(5));

  Event copied;
  put(3);
  upload(d.stream, x.data(), host, 0, 256);
  copied.record(d.stream);
  copied.wait();
  put(5);
  d.stream.synchronize();
  CHECK(seen(x.data()) == ramp_of(3));
  ramp(d.stream, x.data(), 1);
  download(d.stream, host, 0, x.data(), 256);
  CHECK(std::memcmp(host.data(), ramp_of(5).data(), 256) == 0);
  d.stream.synchronize();
  CHECK(std::memcmp(host.data(), ramp_of(4).data(), 256) == 0);
}

TEST_CASE("staging: no slot in flight is written again, whatever the sizes; order is kept") {
  for (const bool graphs : {false, true})
    for (const bool late : {false, true}) {
      CAPTURE(graphs); CAPTURE(late);
      set_lazy(late);
      Stream stream(graphs);
      char* const device = static_cast<char*>(allocate(1 << 16, "staging test"));
      std::vector<char> expected;
      {
        Staging staging(stream, 256);
        std::vector<char> host;
        for (std::size_t round = 0, sizes[] = {1, 64, 255, 256, 257, 3, 3, 1000, 0, 4097, 128, 128, 128, 7}; const std::size_t n : sizes) {
          host.assign(n, char(0));
          for (std::size_t i = 0; i < n; ++i) host[i] = char(i * 7 + round);
          staging.upload(device + expected.size(), host.data(), n);
          expected.insert(expected.end(), host.begin(), host.end());
          std::fill(host.begin(), host.end(), char(-1));  // the host's own again
          ++round;
        }
        std::vector<char> got(expected.size());
        staging.download(got.data(), device, got.size());
        CHECK(got == expected);
        std::uint32_t word = 17;
        staging.upload(device, &word, 4);
        copy_within(stream, device + 8, device, 4);
        word = 18;
        staging.upload(device, &word, 4);
        std::uint32_t words[3];
        staging.download(words, device, sizeof words);
        CHECK((words[0] == 18 && words[2] == 17));
        staging.upload(device + 4, &word, 4);
      }  // waits
      std::uint32_t last;
      copy_out(stream, &last, device + 4, 4);
      CHECK(last == 18);
      release(device);
    }
  set_lazy(false);
}

TEST_CASE("graphs: what is queued between two waits is launched as one, with copies of its arguments") {
  Stream stream(true);
  TestDevice d;
  const DeviceArray<int> x(d, std::vector<int>(64));
  const std::uint64_t launches = calls(Call::launch), graphs = calls(Call::graph);
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 5; ++i) ramp(stream, x.data(), round);
    CHECK(seen(x.data()) == ramp_of(5 * round * (round - 1) / 2));  // recorded, not run
    stream.synchronize();
    CHECK(seen(x.data()) == ramp_of(5 * round * (round + 1) / 2));
  }
  CHECK(calls(Call::launch) - launches == 15);
  CHECK(calls(Call::graph) - graphs == 3);
  CHECK(stream.graphs().launched == 3);
  CHECK(stream.graphs().made == 1);  // then updated
  ramp(stream, x.data(), -1);
  stream.flush();
  stream.flush();  // nothing recorded
  CHECK(stream.graphs().launched == 4);
  CHECK(stream.graphs().made == 2);
  CHECK(seen(x.data()) == ramp_of(29));
  const std::vector<int> host = ramp_of(2);
  ramp(stream, x.data(), 100);
  copy_in(stream, x.data(), host.data(), 256);  // after it
  CHECK(seen(x.data()) == host);
}

TEST_CASE("graphs: training gives the same bits as without, and as late as can be") {
  const auto launches_of = [](const auto& f) {
    const std::uint64_t before = calls(Call::launch);
    f();
    return calls(Call::launch) - before;
  };
  std::vector<float> plain, recorded, late, late_recorded;
  const std::uint64_t plain_launches = launches_of([&] { plain = training(cuda_sim_device({.fill_with_nan = true})); });
  const std::uint64_t graphs = calls(Call::graph);
  CHECK(launches_of([&] { recorded = training(cuda_sim_device({.graphs = true, .fill_with_nan = true})); }) == plain_launches);
  const std::uint64_t launched = calls(Call::graph) - graphs;
  CHECK((launched > 0 && launched * 8 < plain_launches));  // many launches a graph
  set_lazy(true);
  late = training(cuda_sim_device({.fill_with_nan = true}));
  late_recorded = training(cuda_sim_device({.graphs = true, .fill_with_nan = true}));
  set_lazy(false);
  CHECK(plain.size() > 700);
  for (const std::vector<float>* other : {&recorded, &late, &late_recorded}) {
    REQUIRE(other->size() == plain.size());
    CHECK(std::memcmp(other->data(), plain.data(), plain.size() * sizeof(float)) == 0);
  }
  without_findings();  // memory given back while recording is used again in the stream's order
}
