// The program sspo: verbs over the library. stdout is data, stderr is talk.
// Exit codes: 0 done, 64 wrong usage, 65 bad input, 70 internal error, 74 input/output, 128 + n signal n.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "cli/demo.hpp"
#include "cli/inspect_schedule.hpp"
#include "cli/ops.hpp"
#include "cli/signals.hpp"
#include "cli/tokenize.hpp"
#include "sspo/base/error.hpp"

namespace {

enum Exit { done = 0, usage = 64, bad_input = 65, internal = 70, io = 74 };

int exit_code(sspo::ErrorKind kind) {
  switch (kind) {
    case sspo::ErrorKind::input:
    case sspo::ErrorKind::file: return bad_input;
    case sspo::ErrorKind::io: return io;
    default: return internal;
  }
}

int complain(int code, const char* what) {
  fmt::print(stderr, "error: {}\n", what);
  return code;
}

int run(int argc, char** argv) {
  CLI::App app{"sspo: tensors, reverse-mode autodiff and diffusion models in C++20", "sspo"};
  app.set_version_flag("--version", fmt::format("sspo {}.{}.{}", sspo::version_major, sspo::version_minor, sspo::version_patch));
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();

  sspo::cli::DemoOptions demo;
  CLI::App* demo_verb = app.add_subcommand("demo", "train a small diffusion model on generated shapes; write pictures and a report");
  demo_verb->add_option("--out", demo.out, "folder for the results")->required()->capture_default_str();
  demo_verb->add_option("--steps", demo.steps, "training steps")->check(CLI::Range(1, 1'000'000));
  demo_verb->add_option("--batch", demo.batch, "pictures a step")->check(CLI::Range(1, 4096));
  demo_verb->add_option("--channels", demo.channels, "width of the model, a multiple of 8")->check(CLI::Range(8, 1024));
  demo_verb->add_option("--columns", demo.columns, "pictures a class in the sample sheets")->check(CLI::Range(1, 64));
  demo_verb->add_option("--seed", demo.seed, "the results are a function of it");
  demo_verb->add_option("--threads", demo.threads, "0: all cores; results do not depend on it")->check(CLI::Range(0, 1024));
  demo_verb->add_option("--isa", demo.isa, "instruction set; default: the best of this machine")
      ->check(CLI::IsMember({"baseline", "avx2", "avx512", "avx512_bf16"}));
  demo_verb->add_flag("--force", demo.force, "write into a folder that has content");
  demo_verb->add_flag("--json", demo.json, "summary as JSON");

  bool ops_json = false;
  CLI::App* ops_verb = app.add_subcommand("ops", "list all ops: name, samples, formula, gradient");
  ops_verb->add_flag("--json", ops_json, "as JSON");

  sspo::cli::TokenizeOptions tokens;
  CLI::App* tokenize_verb = app.add_subcommand("tokenize", "token ids of a text, or of each line of a JSONL file");
  tokenize_verb->add_option("--tokenizer", tokens.tokenizer, "folder with vocab.json and merges.txt")->required();
  tokenize_verb->add_option("--flavour", tokens.flavour, "text clean-up")->check(CLI::IsMember({"hf", "openai"}));
  CLI::Option_group* token_source = tokenize_verb->add_option_group("source");
  token_source->require_option(1);
  token_source->add_option("text", tokens.text, "the text");
  token_source->add_option("--jsonl", tokens.jsonl, "file with an object a line, key \"text\"");
  tokenize_verb->add_flag("--json", tokens.json, "objects with ids and tokens");

  CLI::App* inspect_verb = app.add_subcommand("inspect", "look into files, schedules, random numbers");
  inspect_verb->require_subcommand(1);
  sspo::cli::InspectScheduleOptions schedule;
  CLI::App* schedule_verb = inspect_verb->add_subcommand("schedule", "timesteps and noise levels of a scheduler");
  schedule_verb->add_option("scheduler", schedule.scheduler, "ddpm, ddim, pndm, euler, euler_ancestral or dpmpp_2m; default: the model's own");
  schedule_verb->add_option("--model", schedule.model, "pipeline folder, scheduler folder or scheduler_config.json")->required();
  schedule_verb->add_option("--steps", schedule.steps, "sampling steps")->check(CLI::Range(1, 100'000));
  schedule_verb->add_flag("--json", schedule.json, "as JSON");
  sspo::cli::InspectRandnOptions randn;
  CLI::App* randn_verb = inspect_verb->add_subcommand("randn", "normal numbers of a seed, as the tensor `noise` of a safetensors file");
  randn_verb->add_option("--rng", randn.rng, "generator")->check(CLI::IsMember({"philox", "torch-cpu", "torch-cuda"}));
  randn_verb->add_option("--seed", randn.seed, "the numbers are a function of it");
  randn_verb->add_option("--shape", randn.shape, "1,4,64,64")->required();
  randn_verb->add_option("--out", randn.out, "file to write")->required();
  randn_verb->add_flag("--force", randn.force, "replace an existing file");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? done : usage;
  }
  sspo::cli::catch_signals();
  if (*demo_verb) sspo::cli::demo(demo);
  if (*ops_verb) sspo::cli::list_ops(ops_json);
  if (*tokenize_verb) sspo::cli::tokenize(tokens);
  if (*schedule_verb) sspo::cli::inspect_schedule(schedule);
  if (*randn_verb) sspo::cli::inspect_randn(randn);
  if (std::fflush(stdout) != 0) return complain(io, "stdout: cannot be written");
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const sspo::cli::Interrupted& e) {
    return 128 + e.signal;
  } catch (const sspo::Error& e) {
    return complain(exit_code(e.info().kind), e.what());
  } catch (const std::system_error& e) {
    return complain(io, e.what());
  } catch (const std::exception& e) {
    return complain(internal, e.what());
  }
}
