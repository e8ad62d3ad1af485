#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>
#include <set>

#include "cli/bench.hpp"
#include "cli/compare.hpp"
#include "cli/convert.hpp"
#include "cli/data.hpp"
#include "cli/demo.hpp"
#include "cli/eval.hpp"
#include "cli/eval_metrics.hpp"
#include "cli/eval_prompts.hpp"
#include "cli/eval_scorers.hpp"
#include "cli/forward.hpp"
#include "cli/gate.hpp"
#include "cli/inspect.hpp"
#include "cli/inspect_schedule.hpp"
#include "cli/lora.hpp"
#include "cli/ops.hpp"
#include "cli/pair.hpp"
#include "cli/plan.hpp"
#include "cli/sample.hpp"
#include "cli/score.hpp"
#include "cli/step.hpp"
#include "cli/tokenize.hpp"
#include "cli/train.hpp"
#include "cli/train_tokenizer.hpp"
#include "cli/report.hpp"

namespace sspo::cli {
namespace {

const std::vector<std::string> instruction_sets = {"baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"};
const std::vector<std::string> generators = {"philox", "torch-cpu", "torch-cuda"};
const std::vector<std::string> samplers = {"ddpm", "ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m"};

// A verb whose options live as long as its parser. `run` is called once everything was understood.
template <class Options>
std::pair<CLI::App*, Options*> verb_of(CLI::App& parent, const char* name, const char* what, void (*run)(const Options&), const char* examples) {
  CLI::App* verb = parent.add_subcommand(name, what);
  const auto options = std::make_shared<Options>();
  verb->callback([options, run] { run(*options); });
  verb->footer(std::string("Examples:\n") + examples);
  return {verb, options.get()};
}

// CLI11 would take -1 for 2^64 - 1, what is larger for that, too, and NaN for a number in any range.
const CLI::Validator is_seed(
    [](const std::string& text) {
      std::uint64_t seed = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
      return error == std::errc{} && end == text.data() + text.size() ? "" : text + " is no whole number from 0 to 2^64 - 1";
    },
    "");
CLI::Validator between(double low, double high) {
  return CLI::Validator(
      [low, high](const std::string& text) {
        double x = NAN;
        return CLI::detail::lexical_cast(text, x) && x >= low && x <= high ? "" : fmt::format("{} is no number from {} to {}", text, low, high);
      },
      "");
}

void add_threads_and_isa(CLI::App* verb, int& threads, std::string& isa) {
  verb->add_option("--threads", threads, "0: all cores; results do not depend on it")->check(CLI::Range(0, 1024));
  verb->add_option("--isa", isa, "instruction set; default: the best of this machine")->check(CLI::IsMember(instruction_sets));
}

void add_where(CLI::App* verb, DeviceOptions& o) {
  verb->add_option("--device", o.device, "where to compute; cuda-sim: the CUDA kernels on this CPU, slowly")->check(CLI::IsMember({"cpu", "cuda", "cuda-sim"}));
  verb->add_option("--matmul", o.matmul, "with cuda: whose kernels")->check(CLI::IsMember({"own", "cublas"}));
  verb->add_option("--conv", o.conv, "with cuda: whose kernels")->check(CLI::IsMember({"own", "cudnn"}));
  verb->add_option("--attention", o.attention, "with cuda: whose kernels; cudnn: bf16 alone, and masks by our own")->check(CLI::IsMember({"own", "cudnn"}));
  verb->add_flag("--tf32", o.tf32, "with cuda: f32 products may round their factors to 10 bits, on tensor cores");
  verb->add_flag("--cuda-graphs", o.cuda_graphs, "with cuda: launches between two waits of the host as one CUDA graph; same bits");
  add_threads_and_isa(verb, o.threads, o.isa);
}

void add_device_options(CLI::App* verb, DeviceOptions& o) {
  add_where(verb, o);
  verb->add_option("--dtype", o.dtype, "arithmetic")->check(CLI::IsMember({"f32", "bf16", "f64"}));
}

void add_demo(CLI::App& app) {
  const auto [verb, o] = verb_of<DemoOptions>(app, "demo", "the main job: train a model from nothing, align it by SSPO, SFT, SPIN and DPO, judge them, report", demo,
                                              "  sspo demo --out out/demo\n"
                                              "  sspo demo --out out/quick --quick");
  verb->add_option("--out", o->out, "folder for everything; a demo that was stopped there is gone on with")->required()->capture_default_str();
  verb->add_option("--data", o->data, "auto: emoji where their packages are, else shapes")->check(CLI::IsMember({"auto", "emoji", "shapes"}));
  verb->add_option("--size", o->size, "full: ten minutes; quick: two; smoke: seconds, and nothing is learned")->check(CLI::IsMember({"full", "quick", "smoke"}));
  verb->add_flag_callback("--quick", [size = &o->size] { *size = "quick"; }, "--size quick");
  verb->add_option("--seeds", o->seeds, "runs of each method; 0: three if full, else one")->check(CLI::Range(0, 100));
  add_threads_and_isa(verb, o->threads, o->isa);
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_single_file_options(CLI::App* verb, SingleFileOptions& o) {
  verb->add_flag("--ema", o.ema, "a single file: the UNet's averaged weights, where it holds both");
  verb->add_option("--heads", o.heads, "a single file: heads of each attention of the UNet, which no shape tells")->check(CLI::Range(1, 4096));
}

void add_sample(CLI::App& app) {
  const auto [verb, o] = verb_of<SampleOptions>(
      app, "sample", "draw images from a prompt", sample,
      "  sspo sample --model stable-diffusion-v1-5 --prompt 'a lighthouse in fog' --scheduler dpmpp_2m --steps 20 --seed 1 --out fog.png\n"
      "  sspo sample --model stable-diffusion-v1-5 --prompts captions.txt --batch 4 --out sheet.png --json\n"
      "  sspo sample --model stable-diffusion-v1-5 --latents start.safetensors --out-latents end.safetensors");
  verb->add_option("--model", o->model, "pipeline folder, diffusers layout; or a single file, .safetensors or .ckpt, of LDM's names")->required();
  verb->add_option("--variant", o->variant, "weights of this variant: fp16, bf16");
  verb->add_option("--tokenizer", o->tokenizer, "a single file: folder with vocab.json and merges.txt");
  add_single_file_options(verb, o->file);
  verb->add_option("--lora", o->loras, "low-rank changes, FILE or FILE:SCALE; several add up")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* prompt = verb->add_option("--prompt", o->prompt, "what to draw");
  CLI::Option* prompts = verb->add_option("--prompts", o->prompts_file, "file with a prompt a line; .jsonl: objects with the key text or caption")->excludes(prompt);
  verb->add_option("--negative-prompt", o->negative_prompt, "what to stay away from");
  verb->add_option("--scheduler", o->scheduler, "sampler; default: the model's own, its steps_offset and clip_sample as diffusers' pipeline replaces them")->check(CLI::IsMember(samplers));
  verb->add_option("--steps", o->steps, "sampling steps")->check(CLI::Range(1, 100'000));
  verb->add_option("--guidance", o->guidance, "1: the prompt alone; more: away from the negative prompt")->check(between(0, 1000));
  verb->add_option("--eta", o->eta, "ddim: share of fresh noise")->check(between(0, 1));
  verb->add_option("--seed", o->seed, "the images are a function of it")->check(is_seed);
  verb->add_option("--rng", o->rng, "whose normals the seed stands for")->check(CLI::IsMember(generators));
  verb->add_option("--images", o->images, "images a prompt")->check(CLI::Range(1, 1024));
  verb->add_option("--batch", o->batch, "images drawn side by side, each written when they are done; the images do not depend on it")->check(CLI::Range(1, 1024));
  verb->add_option("--height", o->height, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384));
  verb->add_option("--width", o->width, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384));
  verb->add_flag("--vae-tiling", o->vae_tiling, "decode in overlapping tiles, for large pictures: less memory, other pixels near the seams");
  verb->add_flag("--vae-slicing", o->vae_slicing, "decode one picture at a time, as is always done");
  verb->add_option("--out", o->out, "PNG to write; with several images a grid, and each beside it");
  CLI::Option* latents = verb->add_option("--latents", o->latents, "safetensors with latents, encoder_hidden_states, negative_encoder_hidden_states, step_noise: in place of prompt and seed")
                             ->excludes(prompt)
                             ->excludes(prompts);
  verb->add_option("--out-latents", o->out_latents, "safetensors to write: latents, trajectory");
  verb->add_flag("--force", o->force, "replace existing files");
  verb->add_flag("--json", o->json, "summary as JSON");
  add_device_options(verb, o->device);
  const SampleOptions* const given = o;
  verb->parse_complete_callback([=] {
    if (!*prompt && !*prompts && !*latents) throw CLI::RequiredError("--prompt, --prompts or --latents");
    if (given->out.empty() && given->out_latents.empty()) throw CLI::RequiredError("--out PICTURE.png or --out-latents FILE.safetensors");
    if (given->out == given->out_latents) throw CLI::ValidationError("--out-latents", "the same file as --out");
  });
}

void add_forward(CLI::App& app) {
  const auto [verb, o] = verb_of<ForwardOptions>(app, "forward", "run one component on tensors from a file, to compare with other implementations", forward,
                                                 "  sspo forward unet --model stable-diffusion-v1-5 --in x.safetensors --out y.safetensors --grad\n"
                                                 "  sspo forward vae-decode --model stable-diffusion-v1-5/vae --in z.safetensors --out image.safetensors\n"
                                                 "  sspo forward clip-image --model HPS_v2_compressed.pt --activation gelu --in pixels.safetensors --out embeds.safetensors");
  verb->add_option("part", o->part, "component")->required()->check(CLI::IsMember({"text", "unet", "vae-encode", "vae-decode", "clip-image", "clip-text"}));
  verb->add_option("--model", o->model, "pipeline folder, or the component's own; clip-image, clip-text: folder or file of a CLIP, Hugging Face's or OpenCLIP's")->required();
  verb->add_option("--variant", o->variant, "weights of this variant: fp16, bf16");
  verb->add_option("--activation", o->activation, "clip-image, clip-text: where no config tells it")->check(CLI::IsMember({"quick_gelu", "gelu"}));
  verb->add_option("--in", o->in, "safetensors with the inputs")->required();
  verb->add_option("--out", o->out, "safetensors to write")->required();
  verb->add_flag("--grad", o->grad, "also gradients, from the tensor grad_output");
  verb->add_flag("--vae-tiling", o->vae_tiling, "vae-encode, vae-decode: in overlapping tiles of the config's sample_size");
  verb->add_flag("--vae-slicing", o->vae_slicing, "vae-encode, vae-decode: one picture at a time");
  verb->add_flag("--force", o->force, "replace an existing file");
  add_device_options(verb, o->device);
}

void add_step(CLI::App& app) {
  const auto [verb, o] = verb_of<StepCommand>(app, "step", "one step of preference training on tensors from a file, to compare with other implementations", step,
                                              "  sspo step --policy theta --reference pool/3 --in batch.safetensors --out step.safetensors\n"
                                              "  sspo step --policy theta --reference theta --in batch.safetensors --out step.safetensors --objective dpo --beta 5000 --lr 1e-5");
  verb->add_option("--policy", o->policy, "what is trained: pipeline folder, or its unet")->required();
  const CLI::Option* reference = verb->add_option("--reference", o->reference, "what it is compared with, frozen; sft does without");
  verb->add_option("--variant", o->variant, "weights of this variant: fp16, bf16");
  verb->add_option("--in", o->in, "safetensors with latents_w, latents_r, noise_w, noise_r (absent: noise_w), timesteps, encoder_hidden_states")->required();
  verb->add_option("--out", o->out, "safetensors to write: errors, s, z, losses, gradients, parameters after the step")->required();
  verb->add_option("--objective", o->objective, "loss")->check(CLI::IsMember(objective_choices()));
  verb->add_option("--gate", o->gate, "s of sspo")->check(CLI::IsMember(gate_choices()));
  verb->add_option("--tie", o->tie, "s where policy and reference do equally well: zero, or plus one")->check(CLI::IsMember({"zero", "plus"}));
  verb->add_option("--seed", o->seed, "of the gate random")->check(is_seed);
  CLI::Option* beta = verb->add_option("--beta", o->beta, "preference strength, Diffusion-DPO's: kappa = beta / 2")->check(CLI::PositiveNumber);
  verb->add_option("--kappa", o->kappa, "scale of the differences of mean errors; default: beta / 2")->check(CLI::NonNegativeNumber)->excludes(beta);
  verb->add_option("--eta", o->eta, "weight of the winner's error in dpo+sft")->check(CLI::NonNegativeNumber);
  verb->add_option("--schedule", o->schedule, "scheduler folder or scheduler_config.json; default: the policy's own");
  verb->add_option("--optimizer", o->optimizer, "optimizer")->check(CLI::IsMember({"adamw"}));
  verb->add_option("--lr", o->adamw.lr, "learning rate")->check(CLI::NonNegativeNumber);
  verb->add_option("--weight-decay", o->adamw.weight_decay, "decoupled")->check(CLI::NonNegativeNumber);
  verb->add_option("--betas", o->betas, "of the moments: 0.9,0.999")->expected(2)->delimiter(',')->check(CLI::Range(0.0, 1.0));
  verb->add_option("--eps", o->adamw.eps, "added to the root of the second moment")->check(CLI::NonNegativeNumber);
  verb->add_option("--clip-norm", o->clip_norm, "bound of the gradient's norm; 0: none")->check(CLI::NonNegativeNumber);
  verb->add_option("--micro-batch", o->micro_batch, "pairs at once; 0: all. The gradient is that of the whole batch")->check(CLI::Range(0, 1'000'000));
  verb->add_flag("--force", o->force, "replace an existing file");
  add_device_options(verb, o->device);
  const StepCommand* command = o;  // clang 14 captures no structured binding
  verb->parse_complete_callback([=] {
    if (!*reference && needs_reference(command->objective)) throw CLI::RequiredError("--reference");
  });
}

void add_train(CLI::App& app) {
  const auto [verb, o] = verb_of<TrainCommand>(app, "train", "train a model by a recipe; the run can be stopped and resumed at any step", train_and_tell,
                                               "  sspo train recipes/tiny.toml --out out/tiny\n"
                                               "  sspo train recipes/tiny.toml --out out/tiny --resume auto\n"
                                               "  sspo train recipes/tiny.toml --out out/dpo --set objective=spin --set optimizer.lr=3e-5");
  verb->add_option("recipe", o->recipe, "TOML file")->required();
  verb->add_option("--out", o->out, "the run's folder")->required();
  verb->add_option("--resume", o->resume, "auto: from the newest valid checkpoint, if there is one; never; or a checkpoint's folder");
  verb->add_option("--set", o->settings, "key=value in place of the recipe's")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("--max-memory", o->max_memory, "most bytes in tensors, 4G for instance");
  verb->add_flag("--cache-only", o->cache_only, "compute the latents of all pictures and the states of all captions, and stop: a later call trains on them");
  add_where(verb, o->device);
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_plan(CLI::App& app) {
  const auto [verb, o] = verb_of<PlanCommand>(app, "plan", "what a recipe will take: memory by part, arithmetic, pictures to sample, disk", plan,
                                              "  sspo plan recipes/tiny.toml\n"
                                              "  sspo plan recipes/tiny.toml --set train.micro_batch=1 --max-memory 4G --json");
  verb->add_option("recipe", o->recipe, "TOML file")->required();
  verb->add_option("--set", o->settings, "key=value in place of the recipe's")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("--max-memory", o->max_memory, "exit 65 if the peak is above it");
  verb->add_option("--samples", o->samples, "plan for so many captioned pictures, without opening the data set")->check(CLI::Range(1, 1 << 30));
  add_threads_and_isa(verb, o->threads, o->isa);
  verb->add_flag("--json", o->json, "as JSON");
}

void add_bench(CLI::App& app) {
  const auto [verb, o] = verb_of<BenchCommand>(app, "bench", "the traffic of CUDA kernels on cuda-sim beside the floor of bytes and FLOPs: counts, not times", bench,
                                               "  sspo bench --device cuda-sim\n"
                                               "  sspo bench --device cuda-sim --filter group_norm --lines");
  verb->add_option("--device", o->device, "cuda-sim")->required()->check(CLI::IsMember({"cpu", "cuda", "cuda-sim"}));
  verb->add_option("--filter", o->filter, "works whose name holds this");
  verb->add_flag("--lines", o->lines, "each source line's accesses, too");
}

void add_pair(CLI::App& app) {
  const auto [verb, o] = verb_of<PairCommand>(app, "pair", "one training pair of a preference run: noisy and denoised pictures, the four errors, the gate's decision", pair,
                                              "  sspo pair out/sspo\n"
                                              "  sspo pair out/sspo --phase 2 --index 5 --timestep 100 --timestep 900 --json");
  verb->add_option("run", o->run, "folder of the run")->required();
  verb->add_option("--phase", o->phase, "policy after this phase, and its reference; 0: the last")->check(CLI::Range(0, 1'000'000));
  verb->add_option("--index", o->index, "which of the phase's prompts")->check(CLI::Range(0, 1'000'000'000));
  verb->add_option("--timestep", o->timesteps, "where to look; default: five over the schedule")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("--draw", o->draw, "another number, another noise")->check(is_seed);
  add_threads_and_isa(verb, o->threads, o->isa);
  verb->add_flag("--json", o->json, "what is written to RUN/pair.json, on stdout");
}

void add_report(CLI::App& app) {
  const auto [verb, o] = verb_of<ReportCommand>(app, "report", "report.html of a run or a demo: one file, no network", write_report,
                                                "  sspo report out/sspo\n"
                                                "  sspo report out/demo --out demo.html");
  verb->add_option("folder", o->folder, "folder of sspo train or sspo demo")->required();
  verb->add_option("--out", o->out, "file to write; default: FOLDER/report.html. An existing one is replaced");
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_eval_prompts(CLI::App& eval_verb) {
  const auto [verb, o] = verb_of<EvalPromptsOptions>(eval_verb, "prompts", "check a file of prompts: its form, number, categories, duplicates, the longest", eval_prompts,
                                                     "  sspo eval prompts PartiPrompts.tsv\n"
                                                     "  sspo eval prompts HPDv2/benchmark --tokenizer sd15/tokenizer --json");
  verb->add_option("path", o->path, "PartiPrompts' TSV, HPSv2's JSON list or folder of them, GenEval's JSONL, Pick-a-Pic's Parquet, or a text file with a prompt a line")->required();
  verb->add_option("--tokenizer", o->tokenizer, "folder with vocab.json and merges.txt: tells the longest prompt in tokens");
  verb->add_flag("--json", o->json, "as JSON");
}

void add_eval_scorers(CLI::App& eval_verb) {
  const auto [verb, o] = verb_of<EvalScorersOptions>(eval_verb, "scorers", "which scorers there are, what they need, and what they must say of pictures that their publishers name", eval_scorers,
                                                     "  sspo eval scorers --weights weights\n"
                                                     "  sspo eval scorers --weights weights --fixtures ImageReward/assets/images");
  verb->add_option("--weights", o->weights, "folder of the scorers' weights, WEIGHTS/NAME each");
  verb->add_option("--fixtures", o->fixtures, "folder of the publishers' pictures: scores them with what weights there are; exit 65 where one is off");
  add_device_options(verb, o->device);
  verb->add_flag("--json", o->json, "as JSON");
}

void add_eval_metrics(CLI::App& eval_verb) {
  const auto [verb, o] = verb_of<EvalMetricsOptions>(eval_verb, "metrics", "pictures against real ones: as two sets by Inception's features, or pair by pair", eval_metrics_and_tell,
                                                     "  sspo eval metrics --pictures out/eval/sspo/pictures/0 --real coco --metrics fid,kid,precision-recall --weights weights\n"
                                                     "  sspo eval metrics --pictures decoded --real originals --metrics lpips-alex,ssim,psnr");
  verb->add_option("--pictures", o->pictures, "folder of what is measured")->required();
  verb->add_option("--real", o->real, "folder of what it is measured against; pairs have one name, whatever the ending")->required();
  verb->add_option("--metrics", o->metrics, "names, a,b")->required()->delimiter(',')->check(CLI::IsMember({"fid", "kid", "precision-recall", "lpips-alex", "lpips-vgg", "ssim", "psnr"}));
  verb->add_option("--weights", o->weights, "folder of weights: WEIGHTS/inception, WEIGHTS/lpips");
  verb->add_option("--batch", o->batch, "pictures side by side")->check(CLI::Range(1, 1024));
  verb->add_option("--skip-bad", o->skip_bad, "tell and pass over so many pictures that cannot be read; the next one is an error")->check(CLI::Range(0, 1'000'000'000));
  verb->add_option("--seed", o->seed, "KID's subsets and the intervals are a function of it")->check(is_seed);
  verb->add_option("--out", o->out, "JSON file to write");
  verb->add_flag("--force", o->force, "replace an existing file");
  add_device_options(verb, o->device);
  verb->add_flag("--json", o->json, "as JSON");
}

void add_eval_compare(CLI::App& eval_verb) {
  const auto [verb, o] = verb_of<CompareOptions>(eval_verb, "compare", "evaluations of the same prompts side by side: paired differences, win rates, intervals, tests", compare_and_tell,
                                                 "  sspo eval compare out/sft out/sspo out/spin --out out/table\n"
                                                 "  sspo eval compare out/sspo out/spin --against out/sft");
  verb->add_option("folders", o->folders, "folders of sspo eval --scorers; all are held against the first")->required()->expected(1, 1000);
  verb->add_option("--against", o->against, "hold all against this one");
  verb->add_option("--out", o->out, "folder for comparison.md, comparison.csv and report.html; default: Markdown on stdout");
  verb->add_flag("--force", o->force, "write into a folder that has content");
}

// Two ways to measure share this verb and some options: by a judge that the program trained (--judge), and by published scorers.
struct EvalCommand {
  ScoreOptions score;
  EvalOptions judge;
  void run(const std::set<std::string>& given) const {
    if (judge.judge.empty()) {
      ScoreOptions o = score;
      o.given = given;
      return score_and_tell(o);
    }
    EvalOptions o = judge;
    o.model = score.draw.model, o.unet = score.unet, o.out = score.out, o.json = score.json, o.threads = score.draw.device.threads, o.isa = score.draw.device.isa;
    if (given.count("scheduler")) o.scheduler = score.draw.scheduler;
    if (given.count("steps")) o.steps = score.draw.steps;
    if (given.count("guidance")) o.guidance = score.draw.guidance;
    if (given.count("batch")) o.batch = score.draw.batch;
    eval_and_tell(o);
  }
};

void add_eval(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("eval", "how good a model or a folder of pictures is: by published scorers over a file of prompts, or by a judge that the program trained");
  const auto o = std::make_shared<EvalCommand>();
  ScoreOptions& s = o->score;
  EvalOptions& j = o->judge;
  CLI::Option* recipe = verb->add_option("recipe", s.recipe, "a protocol: TOML with a table [eval] of these options (recipes/eval-paper.toml); options given beside it count");
  verb->add_option("--model", s.draw.model, "pipeline folder, or a single file; what it draws is scored");
  verb->add_option("--unet", s.unet, "folder of another UNet for it, RUN/pool/3/unet");
  verb->add_option("--out", s.out, "folder to write; an evaluation that was interrupted goes on there");
  verb->add_option("--scheduler", s.draw.scheduler, "sampler; default: the model's own; with --judge ddim")->check(CLI::IsMember(samplers));
  verb->add_option("--steps", s.draw.steps, "sampling steps; with --judge 20")->check(CLI::Range(1, 100'000));
  verb->add_option("--guidance", s.draw.guidance, "1: the prompt alone; with --judge 3")->check(between(0, 1000));
  verb->add_option("--batch", s.draw.batch, "pictures that are scored side by side: the last bits depend on it; with --judge 32")->check(CLI::Range(1, 1024));
  verb->add_option("--prompts", s.prompts, "file of prompts, see sspo eval prompts")->group("Scorers");
  verb->add_option("--pictures", s.pictures, "folder of pictures in place of a model: by number, or by metadata.jsonl; DIR/SEED for several seeds")->group("Scorers");
  verb->add_option("--scorers", s.scorers, "names, a,b; see sspo eval scorers")->delimiter(',')->group("Scorers");
  verb->add_option("--weights", s.weights, "folder of the scorers' weights, WEIGHTS/NAME each")->group("Scorers");
  verb->add_option("--seeds", s.seeds, "a picture a prompt for each, 0,1,2")->delimiter(',')->check(is_seed)->group("Scorers");
  verb->add_option("--limit", s.limit, "only the first so many prompts; 0: all")->check(CLI::Range(0, 1'000'000'000))->group("Scorers");
  verb->add_option("--skip-bad", s.skip_bad, "tell and pass over so many pictures that cannot be read; the next one is an error")->check(CLI::Range(0, 1'000'000'000))->group("Scorers");
  verb->add_option("--max-memory", s.max_memory, "scorers that fit it together see the pictures in one pass; without it one after the other")->group("Scorers");
  verb->add_option("--variant", s.draw.variant, "weights of this variant: fp16, bf16")->group("Scorers");
  verb->add_option("--tokenizer", s.draw.tokenizer, "a single file: folder with vocab.json and merges.txt")->group("Scorers");
  verb->add_option("--lora", s.draw.loras, "low-rank changes, FILE or FILE:SCALE")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group("Scorers");
  verb->add_option("--negative-prompt", s.draw.negative_prompt, "what to stay away from")->group("Scorers");
  verb->add_option("--eta", s.draw.eta, "ddim: share of fresh noise")->check(between(0, 1))->group("Scorers");
  verb->add_option("--rng", s.draw.rng, "whose normals the seeds stand for")->check(CLI::IsMember(generators))->group("Scorers");
  verb->add_option("--height", s.draw.height, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384))->group("Scorers");
  verb->add_option("--width", s.draw.width, "pixels; 0: as the model was trained")->check(CLI::Range(0, 16384))->group("Scorers");
  verb->add_option("--judge", j.judge, "model folder of a run with the objective judge: the pictures of each name against the real ones")->group("A judge");
  verb->add_option("--data", j.data, "data set: names, captions and the real pictures in each style")->group("A judge");
  verb->add_option("--real", j.real, "a style: its real pictures are scored in place of a model's")->group("A judge");
  verb->add_option("--where", j.where, "only names of rows of which this holds, split=train or quarter!=1; all of several")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group("A judge");
  verb->add_option("--frechet-where", j.frechet_where, "the real pictures that all samples together are compared with")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group("A judge");
  verb->add_option("--prefer", j.prefer, "the style that is wanted")->group("A judge");
  verb->add_option("--per-prompt", j.per_prompt, "pictures a name")->check(CLI::Range(1, 10'000))->group("A judge");
  verb->add_option("--seed", j.seed, "the noises are a function of it, of the caption and of the picture's number")->check(is_seed)->group("A judge");
  add_device_options(verb, s.draw.device);
  verb->add_flag("--json", s.json, "summary as JSON");
  verb->require_subcommand(0, 1);
  verb->callback([=] {
    if (!verb->get_subcommands().empty()) {
      if (*recipe) throw CLI::ExtrasError("eval", {o->score.recipe});
      return;
    }
    std::set<std::string> given;
    for (const CLI::Option* option : verb->get_options())
      if (option->count() > 0) given.insert(option->get_single_name());
    const bool judged = given.count("judge"), scored = given.count("scorers") || *recipe;
    if (judged == scored) throw judged ? CLI::ValidationError("--judge", "excludes --scorers and a recipe") : CLI::ValidationError("eval", "--scorers or --judge is required");
    if (judged && !given.count("data")) throw CLI::RequiredError("--data");
    if (judged && !given.count("out")) throw CLI::RequiredError("--out");
    for (const CLI::Option* option : verb->get_options())
      if (option->count() > 0 && option->get_group() == (judged ? "Scorers" : "A judge"))
        throw CLI::ValidationError("--" + option->get_single_name(), judged ? "has no meaning with --judge" : "has no meaning without --judge");
    for (const char* option : {"device", "dtype", "matmul", "conv", "attention", "tf32", "cuda-graphs"})
      if (judged && given.count(option)) throw CLI::ValidationError(std::string("--") + option, "has no meaning with --judge");
    o->run(given);
  });
  verb->footer("Examples:\n"
               "  sspo eval --model sd15 --prompts PartiPrompts.tsv --scorers pickscore,hpsv2.0 --weights weights --out out/sd15\n"
               "  sspo eval --pictures drawn --prompts prompts.txt --scorers imagereward --weights weights --out out/drawn\n"
               "  sspo eval recipes/eval-paper.toml --model out/sspo/model --out out/sspo-scores --seeds 0,1,2\n"
               "  sspo eval compare out/sspo-scores out/sd15 --out out/table\n"
               "  sspo eval --model out/base/model --judge out/judge/model --data out/emoji --out out/scores/base --where split=train --where theme=yes");
  add_eval_prompts(*verb);
  add_eval_scorers(*verb);
  add_eval_compare(*verb);
  add_eval_metrics(*verb);
}

void add_gate(CLI::App& app) {
  const auto [verb, o] = verb_of<GateOptions>(app, "gate", "what the gate of a preference run, finished or stopped, is worth: its signs, their agreement, and whether a judge or scorers say the same", gate_and_tell,
                                              "  sspo gate out/sspo\n"
                                              "  sspo gate out/sspo --scorers pickscore,hpsv2.1 --weights weights --device cuda\n"
                                              "  sspo gate out/sspo --judge out/judge/model --pairs 71 --draws 32 --json");
  verb->add_option("run", o->run, "the run's folder; gate.json is written there")->required();
  CLI::Option* judge = verb->add_option("--judge", o->judge, "model folder of a run with the objective judge: is the self-sample better than a fresh one of the policy?");
  CLI::Option* scorers = verb->add_option("--scorers", o->scorers, "the same by published scorers, a,b; see sspo eval scorers")->delimiter(',');
  scorers->needs(verb->add_option("--weights", o->weights, "folder of the scorers' weights, WEIGHTS/NAME each")->needs(scorers));
  verb->add_option("--draws", o->draws, "of time and noise for each pair")->check(CLI::Range(2, 100'000));
  verb->add_option("--pairs", o->pairs, "a phase")->check(CLI::Range(1, 1'000'000));
  verb->add_option("--prefer", o->prefer, "the style that the judge wants; default: the winners'")->needs(judge);
  verb->add_option("--seed", o->seed, "pairs, times and noises are a function of it")->check(is_seed);
  add_where(verb, o->device);
  verb->add_flag("--json", o->json, "as JSON");
}

void add_convert(CLI::App& app) {
  const auto [verb, o] = verb_of<ConvertOptions>(app, "convert", "a Stable Diffusion 1.x of one file into a pipeline's folder, and back", convert,
                                                 "  sspo convert v1-5-pruned-emaonly.ckpt --tokenizer clip-vit-large-patch14 --out sd15\n"
                                                 "  sspo convert sd15 --out sd15.safetensors");
  verb->add_option("path", o->path, "file of LDM's names, .safetensors or .ckpt; or a pipeline's folder")->required();
  verb->add_option("--out", o->out, "folder to write; or, from a folder, the safetensors file")->required();
  verb->add_option("--tokenizer", o->tokenizer, "folder with vocab.json and merges.txt: a single file has none");
  verb->add_option("--size", o->file.size, "pixels a side that the model of a single file was trained on")->check(CLI::Range(8, 16384));
  add_single_file_options(verb, o->file);
  verb->add_option("--variant", o->variant, "from a folder: weights of this variant");
  verb->add_flag("--force", o->force, "replace an existing file, write into a folder that has content");
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_lora(CLI::App& app) {
  CLI::App* lora = app.add_subcommand("lora", "low-rank changes of a model, in the layouts of diffusers, peft, kohya and cloneofsimo/lora");
  lora->require_subcommand(1);
  lora->footer("Examples:\n  sspo lora inspect style.safetensors\n  sspo lora merge sd15 style.safetensors --scale 0.8 --out sd15-style");
  {
    const auto [verb, o] = verb_of<LoraMergeOptions>(*lora, "merge", "a model with the changes in its weights", lora_merge, "  sspo lora merge sd15 style.safetensors --scale 0.8 --out sd15-style");
    verb->add_option("model", o->model, "pipeline folder")->required();
    verb->add_option("lora", o->lora, "safetensors, or a file of torch.save")->required();
    verb->add_option("--scale", o->scale, "of the changes; below 0: away from them")->check(between(-1000, 1000));
    verb->add_option("--out", o->out, "folder to write: the whole pipeline")->required();
    verb->add_option("--variant", o->variant, "weights of this variant: fp16, bf16");
    verb->add_flag("--force", o->force, "write into a folder that has content");
    verb->add_flag("--json", o->json, "summary as JSON");
  }
  const auto [verb, o] = verb_of<LoraInspectOptions>(*lora, "inspect", "modules, ranks and scales of a LoRA file", lora_inspect, "  sspo lora inspect style.safetensors --json");
  verb->add_option("lora", o->lora, "safetensors, or a file of torch.save")->required();
  verb->add_flag("--json", o->json, "as JSON");
}

void add_tokenize(CLI::App& app) {
  const auto [verb, o] = verb_of<TokenizeOptions>(app, "tokenize", "token ids of a text, or of each line of a JSONL file", tokenize,
                                                  "  sspo tokenize --tokenizer stable-diffusion-v1-5/tokenizer 'a lighthouse in fog'\n"
                                                  "  sspo tokenize --tokenizer stable-diffusion-v1-5/tokenizer --jsonl captions.jsonl --json");
  verb->add_option("--tokenizer", o->tokenizer, "folder with vocab.json and merges.txt, or tokenizer.json")->required();
  verb->add_option("--flavour", o->flavour, "text clean-up: hf as transformers; openai; ftfy: the same after the repairs of the Python package ftfy, as OpenCLIP and HPSv2")->check(CLI::IsMember({"hf", "openai", "ftfy"}));
  CLI::Option_group* source = verb->add_option_group("source");
  source->require_option(1);
  source->add_option("text", o->text, "the text");
  source->add_option("--jsonl", o->jsonl, "file with an object a line, key \"text\"");
  verb->add_flag("--json", o->json, "objects with ids and tokens");
}

void add_tokenizer(CLI::App& app) {
  const auto [verb, o] = verb_of<TrainTokenizerOptions>(app, "tokenizer", "learn a vocabulary for CLIP's tokenizer from texts", train_tokenizer,
                                                        "  sspo tokenizer --from captions.txt --size 4096 --out model/tokenizer\n"
                                                        "  sspo tokenizer --from metadata.jsonl --size 8192 --out model/tokenizer --json");
  verb->add_option("--from", o->from, "file with a text a line; .jsonl: objects with the key text or caption")->required();
  verb->add_option("--size", o->size, "tokens in all, start and end included; fewer where the texts give no more")->check(CLI::Range(514, 1 << 20));
  verb->add_option("--fewest", o->fewest, "a pair seen less often is not merged")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--max-length", o->max_length, "ids a text that the model takes")->check(CLI::Range(2, 1 << 20));
  verb->add_option("--out", o->out, "folder to write: vocab.json, merges.txt and two more")->required();
  verb->add_flag("--force", o->force, "write into a folder that has content");
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_inspect_schedule(CLI::App& inspect_verb) {
  const auto [verb, o] = verb_of<InspectScheduleOptions>(inspect_verb, "schedule", "timesteps and noise levels of a scheduler", inspect_schedule,
                                                         "  sspo inspect schedule dpmpp_2m --model stable-diffusion-v1-5 --steps 20\n"
                                                         "  sspo inspect schedule --model scheduler_config.json --steps 50 --json");
  verb->add_option("scheduler", o->scheduler, "ddpm, ddim, pndm, euler, euler_ancestral or dpmpp_2m; default: the model's own")->check(CLI::IsMember(samplers));
  verb->add_option("--model", o->model, "pipeline folder, scheduler folder or scheduler_config.json")->required();
  verb->add_option("--steps", o->steps, "sampling steps")->check(CLI::Range(1, 100'000));
  verb->add_flag("--json", o->json, "as JSON");
}

void add_inspect_randn(CLI::App& inspect_verb) {
  const auto [verb, o] = verb_of<InspectRandnOptions>(inspect_verb, "randn", "normal numbers of a seed, as the tensor `noise` of a safetensors file", inspect_randn,
                                                      "  sspo inspect randn --rng torch-cpu --seed 1 --shape 1,4,64,64 --out noise.safetensors");
  verb->add_option("--rng", o->rng, "generator")->check(CLI::IsMember(generators));
  verb->add_option("--seed", o->seed, "the numbers are a function of it")->check(is_seed);
  verb->add_option("--shape", o->shape, "1,4,64,64")->required();
  verb->add_option("--out", o->out, "file to write")->required();
  verb->add_flag("--force", o->force, "replace an existing file");
}

void add_inspect(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("inspect", "what is in a file or a folder; a sampler's schedule; the normals of a seed");
  const auto o = std::make_shared<InspectOptions>();
  const CLI::Option* path = verb->add_option("path", o->path, "safetensors, shard index, picture, or the folder of a pipeline, component, scheduler or tokenizer");
  verb->add_option("--variant", o->variant, "models: weights of this variant, fp16 for instance");
  verb->add_option("--ppm", o->ppm, "pictures: write the decoded pixels to this file, as 8-bit RGB (P6)");
  verb->add_flag("--force", o->force, "replace an existing file");
  verb->add_flag("--json", o->json, "as JSON");
  verb->require_subcommand(0, 1);
  verb->callback([=] {
    const bool other = !verb->get_subcommands().empty();
    if (*path && other) throw CLI::ExtrasError("inspect", {o->path});
    if (!*path && !other) throw CLI::RequiredError("path, schedule or randn");
    if (*path) inspect(*o);
  });
  verb->footer(
      "A folder of the name schedule or randn is ./schedule or ./randn.\n\n"
      "Examples:\n"
      "  sspo inspect stable-diffusion-v1-5\n"
      "  sspo inspect stable-diffusion-v1-5/unet --variant fp16 --json\n"
      "  sspo inspect fog.png --ppm fog.ppm");
  add_inspect_schedule(*verb);
  add_inspect_randn(*verb);
}

void add_data_check(CLI::App& data_verb) {
  const auto [verb, o] = verb_of<DataCheckOptions>(data_verb, "check", "decode every picture, read every line", data_check,
                                                   "  sspo data check photos\n"
                                                   "  sspo data check photos/metadata.jsonl --skip-bad 10 --json\n"
                                                   "  sspo data check pickapic/train-00000-of-00645.parquet");
  verb->add_option("path", o->path, "folder with metadata.jsonl, or with captions beside the pictures; a .jsonl file; Parquet or a tar, or a folder of either")->required();
  verb->add_option("--skip-bad", o->skip_bad, "tell and pass over so many bad samples; the next one is an error")->check(CLI::Range(0, 1'000'000'000));
  verb->add_flag("--json", o->json, "counts and errors as JSON");
}

void add_data_convert(CLI::App& data_verb) {
  const auto [verb, o] = verb_of<DataConvertOptions>(data_verb, "convert", "the same samples as an imagefolder or as tars (WebDataset), pictures' bytes unchanged; Parquet is read, not written",
                                                     data_convert,
                                                     "  sspo data convert pickapic photos\n"
                                                     "  sspo data convert photos shards --layout webdataset --shard-size 1000\n"
                                                     "  sspo data convert photos photos.tar");
  verb->add_option("from", o->from, "data set, as for sspo data check")->required();
  verb->add_option("to", o->to, "folder to write; or NAME.tar, one tar")->required();
  verb->add_option("--layout", o->layout, "default: imagefolder; webdataset if the name ends in .tar")->check(CLI::IsMember({"imagefolder", "webdataset"}));
  verb->add_option("--shard-size", o->shard_size, "webdataset: samples a tar of the folder")->check(CLI::Range(1, 1'000'000'000));
  verb->add_option("--skip-bad", o->skip_bad, "tell and leave out so many bad samples; the next one is an error")->check(CLI::Range(0, 1'000'000'000));
  verb->add_flag("--force", o->force, "replace a data set that is there");
  verb->add_flag("--json", o->json, "summary as JSON");
  const DataConvertOptions* given = o;
  verb->parse_complete_callback([=] {
    if (given->to.ends_with(".parquet")) throw CLI::ValidationError("to", "Parquet is read, not written: name a folder, or a .tar");
    if (given->layout == "imagefolder" && given->to.ends_with(".tar")) throw CLI::ValidationError("to", "an imagefolder is a folder, its name ends in no .tar");
  });
}

void add_data_shapes(CLI::App& data_verb) {
  const auto [verb, o] = verb_of<DataShapesOptions>(data_verb, "shapes", "draw scenes of circles, squares, triangles and crosses with their captions; hold pictures to such captions",
                                                    data_shapes,
                                                    "  sspo data shapes --out shapes --count 5000 --seed 1\n"
                                                    "  sspo data shapes --judge drawn-by-my-model");
  CLI::Option_group* work = verb->add_option_group("work");
  work->require_option(1);
  work->add_option("--out", o->out, "folder to write: pictures and metadata.jsonl");
  CLI::Option* judge = work->add_option("--judge", o->judge, "data set: does each picture show what its caption says?");
  verb->add_option("--count", o->count, "scenes")->check(CLI::Range(1, 1'000'000))->excludes(judge);
  verb->add_option("--size", o->side, "pixels a side")->check(CLI::Range(32, 4096))->excludes(judge);
  verb->add_option("--seed", o->seed, "the scenes are a function of it")->check(is_seed)->excludes(judge);
  verb->add_flag("--styles", o->styles, "each caption once, filled and hollow: preference pairs")->excludes(judge);
  verb->add_flag("--force", o->force, "write into a folder that has content")->excludes(judge);
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_data_emoji(CLI::App& data_verb) {
  const auto [verb, o] = verb_of<DataEmojiOptions>(data_verb, "emoji", "colour emoji in two styles, with their names: real pictures, real words", data_emoji,
                                                   "  sspo data emoji --out emoji\n"
                                                   "  sspo data emoji --out large --size 64 --json");
  verb->add_option("--out", o->out, "folder to write: pictures and metadata.jsonl")->required();
  verb->add_option("--size", o->side, "pixels a side")->check(CLI::Range(8, 512));
  verb->add_option("--font", o->font, "NotoColorEmoji.ttf; default: of the package fonts-noto-color-emoji");
  verb->add_option("--names", o->names, "CLDR's folder common; default: of the package unicode-cldr-core");
  verb->add_option("--pngs", o->pngs, "folder with 1F600.png and so on; default: of the package ruby-gemojione");
  verb->add_flag("--force", o->force, "write into a folder that has content");
  verb->add_flag("--json", o->json, "summary as JSON");
}

void add_data(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("data", "data sets of captioned pictures: make, check, convert");
  verb->require_subcommand(1);
  verb->footer("Examples:\n  sspo data emoji --out emoji\n  sspo data check emoji");
  add_data_check(*verb);
  add_data_convert(*verb);
  add_data_shapes(*verb);
  add_data_emoji(*verb);
}

void add_ops(CLI::App& app) {
  const auto [verb, json] = verb_of<bool>(app, "ops", "list all ops: name, samples, formula, gradient", +[](const bool& as_json) { list_ops(as_json); },
                                          "  sspo ops\n"
                                          "  sspo ops --json");
  verb->add_flag("--json", *json, "as JSON");
}

}  // namespace

void add_verbs(CLI::App& app) {
  app.require_subcommand(0, 1);
  app.callback([&app] {
    if (app.get_subcommands().empty()) throw CLI::RequiredError("a verb");
  });
  app.option_defaults()->always_capture_default();
  for (const auto add : {add_demo, add_convert, add_lora, add_sample, add_forward, add_step, add_train, add_plan, add_bench, add_pair, add_report, add_eval, add_gate, add_tokenize, add_tokenizer, add_data, add_inspect, add_ops}) add(app);
  app.footer("sspo VERB --help tells a verb's options and shows examples.\n\nExamples:\n  sspo demo --out out/demo\n  sspo inspect stable-diffusion-v1-5");
}

}  // namespace sspo::cli
