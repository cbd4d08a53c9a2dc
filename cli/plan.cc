// vitrine plan: can this model run on that hardware, and how fast at best.
#include <fmt/format.h>

#include <algorithm>

#include "base/json_writer.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/quantity.h"
#include "engine/known_models.h"
#include "engine/plan.h"

namespace vitrine::cli {
namespace {

struct PlanFlags {
  std::string file, model, type, cache = "bf16";
  std::vector<std::string> hardware;
  bool measure = false, json = false;
  double memory = 0, bandwidth = 0, tflops = 0;  // GB, GB/s, TFLOP/s of one device
  uint32_t devices = 1;
  Workload workload;
  double efficiency = 0.7;
};

// What is planned: a file, or a known model in a type.
struct Subject {
  std::string name, type;
  ModelConfig config;
  WeightBytes weights;
};

Result<Type> type_named(const std::string& name) {
  for (int i = 0; i < kTypeCount; ++i) {
    const Type type = static_cast<Type>(i);
    if (type != Type::i32 && equals_ignoring_case(type_name(type), name)) return type;
  }
  if (equals_ignoring_case(name, "fp8")) return Type::f8_e4m3;
  return fail(ErrorCode::usage, "no such type: " + name + " (bf16, fp8, q8_0, q6_k, q5_k, q4_k, q4_0, q3_k, q2_k …)");
}

template <class Names>
std::string joined(const Names& names) {
  std::string out;
  for (const std::string_view name : names) {
    if (!out.empty()) out += ", ";
    out += name;
  }
  return out;
}

Result<Subject> subject_of(const PlanFlags& flags) {
  if (flags.file.empty() == flags.model.empty()) {
    return fail(ErrorCode::usage, "name a model file or --model NAME: " + joined(known_model_names()));
  }
  Subject out;
  if (!flags.file.empty()) {
    const auto weights = Weights::open(flags.file);
    if (!weights) return tl::make_unexpected(weights.error());
    out.config = weights->config();
    out.name = flags.file;
    if (flags.type.empty()) {
      out.type = "as in the file";
      return WeightBytes::of(*weights).map([&](const WeightBytes& bytes) {
        out.weights = bytes;
        return out;
      });
    }
  } else {
    const auto config = known_model(flags.model);
    if (!config)
      return fail(ErrorCode::usage, "no such model: " + flags.model + " (" + joined(known_model_names()) + ")");
    out.config = *config;
    out.name = flags.model;
  }
  // DeepSeek-V3 and R1 are published in FP8, the others in BF16.
  const bool fp8 = out.config.moe && out.config.moe->experts == 256;
  const auto type = type_named(!flags.type.empty() ? flags.type : fp8 ? "fp8" : "bf16");
  if (!type) return tl::make_unexpected(type.error());
  out.type = type_name(*type);
  out.weights = WeightBytes::of(out.config, *type);
  return out;
}

Result<std::vector<Hardware>> hardware_of(const PlanFlags& flags) {
  std::vector<Hardware> out;
  if (flags.measure) {
    out.push_back(measure_this_machine());
    out.back().flops = flags.tflops * 1e12;
  } else if (flags.memory > 0) {
    out.push_back({.name = flags.devices > 1 ? std::to_string(flags.devices) + " devices" : "a device",
                   .devices = flags.devices,
                   .memory = flags.memory * 1e9,
                   .bandwidth = flags.bandwidth * 1e9,
                   .flops = flags.tflops * 1e12,
                   .source = "as given"});
  } else if (flags.bandwidth > 0 || flags.tflops > 0 || flags.devices > 1) {
    return fail(ErrorCode::usage, "--bandwidth, --tflops and --devices describe hardware together with --memory");
  }
  std::vector<std::string> names = flags.hardware;
  if (names.empty() && out.empty()) {
    for (const std::string_view name : known_hardware_names()) names.emplace_back(name);
  }
  for (const std::string& name : names) {
    const auto known = known_hardware(ascii_lower(name));
    if (!known)
      return fail(ErrorCode::usage, "no such hardware: " + name + " (" + joined(known_hardware_names()) + ")");
    out.push_back(*known);
  }
  return out;
}

std::string bytes(double value) { return quantity(value, "B"); }

void print_model(const Subject& subject, const PlanFlags& flags, const PlanResult& p) {
  const ModelConfig& c = subject.config;
  const Workload& w = flags.workload;
  fmt::print("{} ({}): {} parameters, {} read per token\n", subject.name, subject.type,
             parameter_count(static_cast<double>(parameters(c))),
             parameter_count(static_cast<double>(parameters_per_token(c))));
  fmt::print("  memory   weights {} + cache {} ({} per token x {} tokens x {}) + workspace {}\n",
             bytes(static_cast<double>(p.weights)), bytes(static_cast<double>(p.cache)),
             bytes(static_cast<double>(p.cache_per_token)), w.context, w.batch,
             bytes(static_cast<double>(p.workspace)));
  fmt::print("  decode   reads {} of weights ({} always", bytes(p.weight_bytes_read),
             bytes(static_cast<double>(subject.weights.always)));
  if (c.moe) {
    fmt::print(" + {} of experts: {} of {} per token",
               bytes(p.weight_bytes_read - static_cast<double>(subject.weights.always)), c.moe->experts_used,
               c.moe->experts);
  }
  fmt::print(") + {} of cache; {} operations\n", bytes(p.cache_bytes_read), quantity(p.operations, ""));
  fmt::print("  prompt   of {} tokens reads {}; {} operations\n", w.prompt, bytes(p.prompt_bytes_read),
             quantity(p.prompt_operations, ""));
}

void print_speed(const PlanFlags& flags, const Hardware& hardware, const PlanResult& p) {
  if (!p.decode_rate) return fmt::print("  decode   not predicted: no --bandwidth\n");
  fmt::print("  decode   at most {:.1f} tokens/s", *p.decode_rate);
  if (flags.workload.batch > 1) fmt::print(" ({:.1f} each)", *p.decode_rate / flags.workload.batch);
  fmt::print("; {:.1f} at {:.0f} %\n", *p.decode_rate * flags.efficiency, flags.efficiency * 100);
  fmt::print("           {} / {}/s = {}", bytes(p.weight_bytes_read + p.cache_bytes_read),
             bytes(hardware.total_bandwidth()), duration(*p.read_time));
  if (p.compute_time) {
    fmt::print("; {} operations / {}/s = {}", quantity(p.operations, ""), quantity(hardware.total_flops(), ""),
               duration(*p.compute_time));
  }
  fmt::print("\n");
  if (p.prompt_time) {
    fmt::print("  prompt   at least {} for {} tokens: {:.0f} tokens/s\n", duration(*p.prompt_time),
               flags.workload.prompt, flags.workload.prompt / *p.prompt_time);
  } else {
    fmt::print("  prompt   not predicted: no --tflops\n");
  }
}

void print_alternatives(const Subject& subject, const PlanFlags& flags, const PlanResult& p) {
  if (p.best_type) {
    fmt::print("  fits as  {}: weights {}\n", type_name(p.best_type->type),
               bytes(static_cast<double>(p.best_type->weights)));
  } else {
    fmt::print("  fits as  no type down to Q2_K with this context and batch\n");
  }
  if (p.longest_context) {
    fmt::print("  fits     with a context of {} tokens instead of {}\n", *p.longest_context, flags.workload.context);
  }
  const uint32_t layers = subject.config.layers;
  const Placement rest = {nullptr, layers - p.layers_on_device, 0};
  fmt::print("  layers   the last {} of {} fit with the head (--gpu-layers {}); {} would stay in host memory\n",
             p.layers_on_device, layers, p.layers_on_device,
             bytes(static_cast<double>(p.weights - subject.weights.on_device(subject.config, rest))));
  if (p.host_experts) {
    const Placement experts = {nullptr, 0, *p.host_experts};
    fmt::print(
        "  experts  all but the routed experts of {} layers fit (--cpu-experts {}); {} would stay in host memory\n",
        *p.host_experts, *p.host_experts,
        bytes(static_cast<double>(p.weights - subject.weights.on_device(subject.config, experts))));
  }
}

void print_hardware(const Subject& subject, const PlanFlags& flags, const Hardware& hardware, const PlanResult& p) {
  fmt::print("\n{}: {}", hardware.name, bytes(hardware.memory));
  if (hardware.bandwidth > 0) fmt::print(", {}/s", bytes(hardware.bandwidth));
  if (hardware.flops > 0) fmt::print(", {}/s", quantity(hardware.flops, "FLOP"));
  fmt::print("{} ({})\n", hardware.devices > 1 ? " each" : "", hardware.source);
  const auto needed = static_cast<double>(p.weights) + static_cast<double>(p.cache) + static_cast<double>(p.workspace);
  fmt::print("  memory   {} of {} usable ({:.0f} %): {}\n", bytes(needed), bytes(p.usable), kUsableMemory * 100,
             p.fits ? "fits" : "does not fit");
  if (p.fits) {
    if (p.longest_context) fmt::print("  context  up to {} tokens fit\n", *p.longest_context);
    print_speed(flags, hardware, p);
  } else {
    print_alternatives(subject, flags, p);
  }
}

void write_plan(JsonWriter& w, const Hardware& hardware, const PlanResult& p) {
  const auto optional = [&](const char* key, const std::optional<double>& value) {
    w.key(key);
    value ? w.real(*value) : w.null();
  };
  w.begin().key("hardware").begin().key("name").string(hardware.name).key("devices").number(hardware.devices);
  w.key("memory").real(hardware.memory).key("bandwidth").real(hardware.bandwidth).key("flops").real(hardware.flops);
  w.key("source").string(hardware.source).end();
  w.key("usable_memory").real(p.usable).key("fits").boolean(p.fits);
  w.key("decode").begin();
  optional("read_seconds", p.read_time);
  optional("compute_seconds", p.compute_time);
  optional("tokens_per_second", p.decode_rate);
  w.end().key("prompt").begin();
  optional("seconds", p.prompt_time);
  w.end().key("longest_context");
  p.longest_context ? w.number(*p.longest_context) : w.null();
  w.key("layers_on_device").number(p.layers_on_device).key("cpu_experts");
  p.host_experts ? w.number(*p.host_experts) : w.null();
  w.key("best_type");
  if (p.best_type) {
    w.begin().key("type").plain(type_name(p.best_type->type)).key("weights").number(p.best_type->weights).end();
  } else {
    w.null();
  }
  w.end();
}

void print_json(const Subject& subject, const PlanFlags& flags, const std::vector<Hardware>& hardware,
                const std::vector<PlanResult>& plans) {
  std::string out;
  JsonWriter w(out);
  const PlanResult& p = plans.front();
  w.begin().key("model").string(subject.name).key("type").string(subject.type);
  w.key("parameters").number(parameters(subject.config));
  w.key("parameters_per_token").number(parameters_per_token(subject.config));
  w.key("context").number(flags.workload.context).key("batch").number(flags.workload.batch);
  w.key("prompt").number(flags.workload.prompt);
  w.key("memory").begin().key("weights").number(p.weights).key("cache").number(p.cache);
  w.key("cache_per_token").number(p.cache_per_token).key("workspace").number(p.workspace).end();
  w.key("decode_step")
      .begin()
      .key("weight_bytes")
      .real(p.weight_bytes_read)
      .key("cache_bytes")
      .real(p.cache_bytes_read);
  w.key("operations").real(p.operations).end();
  w.key("prompt_step").begin().key("weight_bytes").real(p.prompt_bytes_read);
  w.key("operations").real(p.prompt_operations).end();
  w.key("plans").begin_array();
  for (size_t i = 0; i < plans.size(); ++i) write_plan(w, hardware[i], plans[i]);
  w.end_array().end();
  fmt::print("{}\n", out);
}

int run(const PlanFlags& flags) {
  const auto subject = subject_of(flags);
  if (!subject) return report_error(subject.error());
  const auto hardware = hardware_of(flags);
  if (!hardware) return report_error(hardware.error());
  Workload workload = flags.workload;
  const auto cache = type_named(flags.cache);
  if (!cache) return report_error(cache.error());
  if (*cache != Type::f32 && *cache != Type::f16 && *cache != Type::bf16) {
    return report_error({ErrorCode::usage, "--cache takes f32, f16 and bf16", {}});
  }
  workload.cache = *cache;
  std::vector<PlanResult> plans;
  for (const Hardware& one : *hardware) plans.push_back(plan(subject->config, subject->weights, workload, one));
  if (flags.json) {
    print_json(*subject, flags, *hardware, plans);
    return kOk;
  }
  print_model(*subject, flags, plans.front());
  for (size_t i = 0; i < plans.size(); ++i) print_hardware(*subject, flags, (*hardware)[i], plans[i]);
  fmt::print(
      "\nBounds from bytes and operations: weights and cache are read once, arithmetic runs at full speed, and\n"
      "several devices share both evenly; what they tell each other is not counted.\n");
  return kOk;
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<PlanFlags>();
  auto* command = app.add_subcommand("plan", "what a model needs and how fast it can be, on given hardware");
  command->add_option("file", flags->file, "model file or folder, as for `model show`");
  command->add_option("--model", flags->model, "a published model instead: " + joined(known_model_names()))
      ->type_name("NAME");
  command
      ->add_option("--type", flags->type,
                   "type of the weights: fp8, bf16, q8_0, q4_k …; default: as published, or as in the file")
      ->type_name("TYPE");
  command->add_option("--hardware", flags->hardware, joined(known_hardware_names()) + "; default: all of them")
      ->type_name("NAME");
  command->add_flag("--measure", flags->measure,
                    "this machine: its memory, and its read bandwidth measured in a second");
  command->add_option("--memory", flags->memory, "other hardware: GB of one device")->check(CLI::Range(0.001, 1e9));
  command->add_option("--bandwidth", flags->bandwidth, "GB/s one device reads")->check(CLI::Range(0.001, 1e9));
  command->add_option("--tflops", flags->tflops, "bf16 TFLOP/s of one device")->check(CLI::Range(0.001, 1e9));
  command->add_option("--devices", flags->devices, "how many of them")->check(CLI::Range(1u, 100000u));
  command->add_option("--context", flags->workload.context, "tokens of each sequence (8192)")
      ->check(CLI::Range(1u, 1u << 27));
  command->add_option("--batch", flags->workload.batch, "sequences decoded together (1)")
      ->check(CLI::Range(1u, 1u << 16));
  command->add_option("--prompt", flags->workload.prompt, "tokens of the prompt (512)")
      ->check(CLI::Range(1u, 1u << 27));
  command->add_option("--cache", flags->cache, "type of the cache: bf16, f16, f32")->type_name("TYPE");
  command->add_option("--efficiency", flags->efficiency, "share of the bound to print beside it (0.7)")
      ->check(CLI::Range(0.01, 1.0));
  command->add_flag("--json", flags->json, "as JSON");
  command->footer(
      "Examples:\n"
      "  vitrine plan --model deepseek-v3 --hardware 8xh200 --context 32768 --batch 16\n"
      "  vitrine plan --model deepseek-v2-lite --type q4_0 --measure\n"
      "  vitrine plan model.gguf --memory 24 --bandwidth 1000 --tflops 160");
  command->callback([flags, &exit_code] { exit_code = run(*flags); });
}

}  // namespace vitrine::cli
