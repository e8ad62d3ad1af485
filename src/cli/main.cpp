// The program sspo: verbs over the library. stdout is data, stderr is talk.
// Exit codes: 0 done, 64 wrong usage, 65 bad input, 70 internal error, 74 input/output,
// 76 numbers became non-finite, 128 + n signal n.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "cli/demo.hpp"
#include "cli/forward.hpp"
#include "cli/inspect_schedule.hpp"
#include "cli/ops.hpp"
#include "cli/sample.hpp"
#include "cli/signals.hpp"
#include "cli/step.hpp"
#include "cli/tokenize.hpp"
#include "sspo/base/error.hpp"

namespace {

enum Exit { done = 0, usage = 64, bad_input = 65, internal = 70, io = 74, non_finite = 76 };

int exit_code(sspo::ErrorKind kind) {
  switch (kind) {
    case sspo::ErrorKind::input:
    case sspo::ErrorKind::file: return bad_input;
    case sspo::ErrorKind::io: return io;
    case sspo::ErrorKind::non_finite: return non_finite;
    default: return internal;
  }
}

int complain(int code, const char* what) {
  fmt::print(stderr, "error: {}\n", what);
  return code;
}

void add_device_options(CLI::App* verb, sspo::cli::DeviceOptions& o) {
  verb->add_option("--device", o.device, "where to compute")->check(CLI::IsMember({"cpu"}));
  verb->add_option("--dtype", o.dtype, "arithmetic")->check(CLI::IsMember({"f32", "bf16", "f64"}));
  verb->add_option("--threads", o.threads, "0: all cores; results do not depend on it")->check(CLI::Range(0, 1024));
  verb->add_option("--isa", o.isa, "instruction set; default: the best of this machine")
      ->check(CLI::IsMember({"baseline", "avx2", "avx512", "avx512_bf16"}));
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

  sspo::cli::SampleOptions sample;
  CLI::App* sample_verb = app.add_subcommand("sample", "draw images from a prompt");
  sample_verb->footer("Example:\n  sspo sample --model stable-diffusion-v1-5 --prompt 'a lighthouse in fog' --scheduler dpmpp_2m --steps 20 --seed 1 --out fog.png");
  sample_verb->add_option("--model", sample.model, "pipeline folder, diffusers layout")->required();
  sample_verb->add_option("--variant", sample.variant, "weights of this variant: fp16, bf16");
  CLI::Option* prompt = sample_verb->add_option("--prompt", sample.prompt, "what to draw");
  CLI::Option* prompts_file = sample_verb->add_option("--prompts", sample.prompts_file, "file with a prompt a line")->excludes(prompt);
  sample_verb->add_option("--negative-prompt", sample.negative_prompt, "what to stay away from");
  sample_verb->add_option("--scheduler", sample.scheduler, "sampler; default: the model's own")
      ->check(CLI::IsMember({"ddpm", "ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m"}));
  sample_verb->add_option("--steps", sample.steps, "sampling steps")->check(CLI::Range(1, 100'000));
  sample_verb->add_option("--guidance", sample.guidance, "1: the prompt alone; more: away from the negative prompt")->check(CLI::Range(0.0, 1000.0));
  sample_verb->add_option("--eta", sample.eta, "ddim: share of fresh noise")->check(CLI::Range(0.0, 1.0));
  sample_verb->add_option("--seed", sample.seed, "the images are a function of it");
  sample_verb->add_option("--rng", sample.rng, "whose normals the seed stands for")->check(CLI::IsMember({"philox", "torch-cpu", "torch-cuda"}));
  sample_verb->add_option("--images", sample.images, "images a prompt")->check(CLI::Range(1, 1024));
  sample_verb->add_option("--height", sample.height, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384));
  sample_verb->add_option("--width", sample.width, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384));
  sample_verb->add_option("--out", sample.out, "PNG to write; with several images a grid, and each beside it");
  CLI::Option* latents = sample_verb->add_option("--latents", sample.latents, "safetensors with latents, encoder_hidden_states, negative_encoder_hidden_states, step_noise: in place of prompt and seed")
      ->excludes(prompt)->excludes(prompts_file);
  sample_verb->add_option("--out-latents", sample.out_latents, "safetensors to write: latents, trajectory");
  sample_verb->add_flag("--force", sample.force, "replace existing files");
  sample_verb->add_flag("--json", sample.json, "summary as JSON");
  add_device_options(sample_verb, sample.device);
  sample_verb->callback([&] {
    if (!*prompt && !*prompts_file && !*latents) throw CLI::RequiredError("--prompt, --prompts or --latents");
  });

  sspo::cli::ForwardOptions forward;
  CLI::App* forward_verb = app.add_subcommand("forward", "run one component on tensors from a file, to compare with other implementations");
  forward_verb->footer("Example:\n  sspo forward unet --model stable-diffusion-v1-5 --in x.safetensors --out y.safetensors --grad");
  forward_verb->add_option("part", forward.part, "component")->required()->check(CLI::IsMember({"text", "unet", "vae-encode", "vae-decode"}));
  forward_verb->add_option("--model", forward.model, "pipeline folder, or the component's own")->required();
  forward_verb->add_option("--variant", forward.variant, "weights of this variant: fp16, bf16");
  forward_verb->add_option("--in", forward.in, "safetensors with the inputs")->required();
  forward_verb->add_option("--out", forward.out, "safetensors to write")->required();
  forward_verb->add_flag("--grad", forward.grad, "also gradients, from the tensor grad_output");
  forward_verb->add_flag("--force", forward.force, "replace an existing file");
  add_device_options(forward_verb, forward.device);

  sspo::cli::StepCommand step;
  CLI::App* step_verb = app.add_subcommand("step", "one step of preference training on tensors from a file, to compare with other implementations");
  step_verb->footer("Example:\n  sspo step --policy theta --reference checkpoint-3 --in batch.safetensors --out step.safetensors --gate sign --beta 2000 --lr 1e-5");
  step_verb->add_option("--policy", step.policy, "what is trained: pipeline folder, or its unet")->required();
  CLI::Option* reference = step_verb->add_option("--reference", step.reference, "what it is compared with, frozen; sft does without");
  step_verb->add_option("--variant", step.variant, "weights of this variant: fp16, bf16");
  step_verb->add_option("--in", step.in, "safetensors with latents_w, latents_r, noise_w, noise_r (optional), timesteps, encoder_hidden_states")->required();
  step_verb->add_option("--out", step.out, "safetensors to write: errors, s, z, losses, gradients, parameters after the step")->required();
  step_verb->add_option("--objective", step.objective, "loss")->check(CLI::IsMember(sspo::cli::objective_choices()));
  step_verb->add_option("--gate", step.gate, "s of sspo")->check(CLI::IsMember(sspo::cli::gate_choices()));
  step_verb->add_option("--tie", step.tie, "s where policy and reference do equally well: zero, or plus one")->check(CLI::IsMember({"zero", "plus"}));
  step_verb->add_option("--seed", step.seed, "of the gate random");
  CLI::Option* beta = step_verb->add_option("--beta", step.beta, "preference strength, Diffusion-DPO's: kappa = beta / 2")->check(CLI::PositiveNumber);
  step_verb->add_option("--kappa", step.kappa, "scale of the differences of mean errors, in place of beta")->check(CLI::PositiveNumber)->excludes(beta);
  step_verb->add_option("--eta", step.eta, "weight of the winner's error in dpo+sft")->check(CLI::NonNegativeNumber);
  step_verb->add_option("--schedule", step.schedule, "scheduler folder or scheduler_config.json; default: the policy's own");
  step_verb->add_option("--optimizer", step.optimizer, "optimizer")->check(CLI::IsMember({"adamw"}));
  step_verb->add_option("--lr", step.adamw.lr, "learning rate")->check(CLI::NonNegativeNumber);
  step_verb->add_option("--weight-decay", step.adamw.weight_decay, "decoupled")->check(CLI::NonNegativeNumber);
  step_verb->add_option("--betas", step.betas, "of the moments")->expected(2)->delimiter(',')->check(CLI::Range(0.0, 1.0));
  step_verb->add_option("--eps", step.adamw.eps, "added to the root of the second moment")->check(CLI::NonNegativeNumber);
  step_verb->add_option("--clip-norm", step.clip_norm, "bound of the gradient's norm; 0: none")->check(CLI::NonNegativeNumber);
  step_verb->add_option("--micro-batch", step.micro_batch, "pairs at once; 0: all. The gradient is that of the whole batch")->check(CLI::Range(0, 1'000'000));
  step_verb->add_flag("--force", step.force, "replace an existing file");
  add_device_options(step_verb, step.device);
  step_verb->callback([&] {
    if (!*reference && sspo::cli::needs_reference(step.objective)) throw CLI::RequiredError("--reference");
  });

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
  if (*sample_verb) sspo::cli::sample(sample);
  if (*forward_verb) sspo::cli::forward(forward);
  if (*step_verb) sspo::cli::step(step);
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
