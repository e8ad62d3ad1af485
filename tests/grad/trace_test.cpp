// graph() and Trace: what runs can be seen.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sspo/grad/backward.hpp"
#include "sspo/grad/trace.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("graph: one line an op, inputs first, with shapes, labels and kept bytes") {
  const Tensor x = track(zeros({4, 8}), "x"), w = track(zeros({8, 3}), "w");
  const std::string text = graph(mean(square(matmul(x, w))));
  CHECK(text ==
        "%0 = leaf()  [4, 8] f32  'x'\n"
        "%1 = leaf()  [8, 3] f32  'w'\n"
        "%2 = matmul(%0, %1, [], [])  [4, 3] f32  keeps 224 B\n"
        "%3 = square(%2)  [4, 3] f32  keeps 48 B\n"
        "%4 = mean(%3)  [] f32\n");
  CHECK(graph(zeros({2})) == "not tracked: [2] f32\n");
  const Tensor y = x * x;  // each node once
  const std::string diamond = graph(y + y);
  CHECK(std::count(diamond.begin(), diamond.end(), '\n') == 3);
}

TEST_CASE("Trace: every op with shapes, bytes, memory and time") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = track(zeros({4, 8}, DType::f32, d)), w = zeros({8, 3}, DType::f32, d);
  Trace trace(d);
  const Tensor y = matmul(x, w);
  backward(sum(y));
  REQUIRE(trace.events().size() >= 3);
  const Trace::Event& e = trace.events()[0];
  CHECK(e.op == "matmul");
  CHECK(e.shapes == "[4, 8] f32, [8, 3] f32 -> [4, 3] f32");
  CHECK(e.bytes == 4 * (32 + 24 + 12));
  CHECK(e.in_use >= e.bytes);
  CHECK(e.duration_us > 0);
  CHECK(trace.events()[1].op == "sum");
  for (std::size_t i = 1; i < trace.events().size(); ++i) CHECK(trace.events()[i].start_us >= 0);
  CHECK(trace.summary().find("matmul") != std::string::npos);
  const std::size_t before = trace.events().size();
  neg(zeros({2}));  // another device
  check_error([&] { matmul(x, zeros({5, 5}, DType::f32, d)); }, {"inner extents"});
  CHECK(trace.events().size() == before);
}

TEST_CASE("Trace: the Chrome trace is JSON that viewers read") {
  const Device d = Device::cpu({.threads = 1});
  const std::string path = "sspo_trace_test.json";
  {
    Trace trace(d);
    neg(exp(zeros({3}, DType::f32, d)));
    trace.write_chrome(path);
    check_error([&] { trace.write_chrome("/no/such/folder/x.json"); }, {"trace: cannot write", "/no/such/folder/x.json"});
  }
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  std::vector<std::string> ops;
  for (const auto& e : json["traceEvents"]) {
    CHECK(e.contains("ts"));
    if (e["ph"] == "X") {
      ops.push_back(e["name"]);
      CHECK(e["dur"].get<double>() >= 0);
      CHECK(e["args"]["shapes"] == "[3] f32 -> [3] f32");
    }
  }
  CHECK(ops == std::vector<std::string>{"exp", "neg"});
  std::remove(path.c_str());
}

TEST_CASE("Trace: an empty one is JSON too; one at a time; none after it") {
  const Device d = Device::cpu({.threads = 1});
  {
    Trace trace(d);
    check_error([&] { Trace second(d); }, {"trace: the device is being traced already"});
    neg(zeros({1}, DType::f32, d));
    CHECK(trace.events().size() == 1);  // the refused one did not unhook the first
  }
  const std::string path = "sspo_trace_empty.json";
  {
    Trace trace(d);
    trace.write_chrome(path);
  }
  std::ifstream file(path);
  CHECK(nlohmann::json::parse(file)["traceEvents"].empty());
  std::remove(path.c_str());
  CHECK_NOTHROW(neg(zeros({1}, DType::f32, d)));
}
