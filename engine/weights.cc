#include "engine/weights.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"
#include "engine/hf_names.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1 << 20;

template <class Numbers>
std::string list(const Numbers& numbers) {
  std::string out = "[";
  for (const uint64_t n : numbers) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(n);
  }
  out += "]";
  return out;
}

std::vector<uint64_t> reversed(std::span<const uint64_t> ne) { return {ne.rbegin(), ne.rend()}; }

// Trailing dimensions of 1 say nothing: [n] is [n, 1, 1].
bool same_shape(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if ((i < a.size() ? a[i] : 1) != (i < b.size() ? b[i] : 1)) return false;
  }
  return true;
}

// blk.0.ffn_up_exps.weight -> blk.0.ffn_up.7.weight
std::string gguf_expert_name(std::string_view stacked, uint32_t expert) {
  constexpr std::string_view kStacked = "_exps.";
  std::string out(stacked);
  const size_t at = out.find(kStacked);
  if (at == std::string::npos) return out;
  std::string number = ".";
  number += std::to_string(expert);
  number += '.';
  return out.replace(at, kStacked.size(), number);
}

Result<TensorView> located(Result<TensorView> view, const std::string& where) {
  if (!view) return fail(view.error().code, view.error().message, where);
  return view;
}

}  // namespace

std::optional<Type> type_from_safetensors(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::f32: return Type::f32;
    case SafetensorsType::f16: return Type::f16;
    case SafetensorsType::bf16: return Type::bf16;
    case SafetensorsType::f8_e4m3: return Type::f8_e4m3;
    default: return std::nullopt;
  }
}

Result<ModelFiles> open_model_files(const std::string& path) {
  std::error_code ignored;
  const std::string extension = fs::path(path).extension();
  const auto as_files = [](auto&& model) { return ModelFiles(std::forward<decltype(model)>(model)); };
  if (fs::is_directory(path, ignored) || extension == ".safetensors" || extension == ".json") {
    return SafetensorsModel::open(path).map(as_files);
  }
  return GgufModel::open(path).map(as_files);
}

Result<Weights> Weights::of(ModelFiles files) {
  Result<ModelConfig> config;
  if (const auto* gguf = std::get_if<GgufModel>(&files)) {
    config = config_from_gguf(*gguf);
  } else {
    const std::string path = (fs::path(std::get<SafetensorsModel>(files).folder()) / "config.json").string();
    config = read_file(path, kMaxConfigBytes).and_then([&](const std::string& text) {
      return config_from_hugging_face(text, path);
    });
  }
  if (!config) return tl::make_unexpected(config.error());
  return Weights(std::move(files), std::move(*config));
}

Result<Weights> Weights::open(const std::string& path) {
  return open_model_files(path).and_then([](ModelFiles&& files) { return of(std::move(files)); });
}

MlaLayout Weights::mla_layout() const { return has("blk.0.attn_k_b.weight") ? MlaLayout::split : MlaLayout::combined; }

bool Weights::has(std::string_view name) const {
  if (gguf() != nullptr) {
    return gguf()->find_tensor(name) != nullptr || gguf()->find_tensor(gguf_expert_name(name, 0)) != nullptr;
  }
  const auto names = hf_names(config_.architecture, name);
  return std::any_of(names.begin(), names.end(), [&](const HfName& hf) {
    return safetensors()->find(hf.per_expert() ? hf.of_expert(0) : hf.name) != nullptr;
  });
}

tl::unexpected<Error> Weights::missing(std::string_view name, std::span<const uint64_t> ne) const {
  std::string where, expected;
  if (gguf() != nullptr) {
    where = gguf()->path() + ", tensor " + std::string(name);
    expected = list(ne);
  } else {
    where = safetensors()->folder() + ", tensor ";
    const auto names = hf_names(config_.architecture, name);
    where += names.empty() ? std::string(name) : names.front().name;
    expected = list(reversed(ne));
  }
  return fail(ErrorCode::malformed, "is missing; expected " + expected, where);
}

Result<TensorView> Weights::view(const GgufTensor& tensor, std::span<const uint64_t> ne) const {
  const std::string where = gguf()->path(tensor) + ", tensor " + printable(tensor.name);
  const auto found = std::span(tensor.ne).first(tensor.dimensions);
  if (!same_shape(found, ne)) {
    return fail(ErrorCode::malformed, "expected " + list(ne) + ", found " + list(found), where);
  }
  const auto type = type_from_ggml(tensor.type.number);
  if (!type) return fail(ErrorCode::unsupported, "type " + std::string(tensor.type.name) + " is not supported", where);
  return located(TensorView::make(*type, ne, gguf()->data(tensor)), where);
}

Result<TensorView> Weights::view(const SafetensorsTensor& tensor, std::span<const uint64_t> ne) const {
  const std::string where = safetensors()->path(tensor) + ", tensor " + printable(tensor.name);
  if (!same_shape(reversed(tensor.shape), ne)) {
    return fail(ErrorCode::malformed, "expected " + list(reversed(ne)) + ", found " + list(tensor.shape), where);
  }
  const auto type = type_from_safetensors(tensor.type);
  if (!type) {
    return fail(ErrorCode::unsupported,
                "dtype " + std::string(safetensors_type_name(tensor.type)) + " is not supported", where);
  }
  Bytes scales;
  if (*type == Type::f8_e4m3) {
    const auto found = fp8_scales(tensor);
    if (!found) return tl::make_unexpected(found.error());
    scales = *found;
  }
  return located(TensorView::make(*type, ne, safetensors()->data(tensor), scales), where);
}

// One float32 per 128 x 128 block; blocks at the edges may be smaller.
Result<Bytes> Weights::fp8_scales(const SafetensorsTensor& tensor) const {
  const std::string name = tensor.name + "_scale_inv";
  const auto blocks = [](uint64_t n) { return (n + TensorView::kScaleBlock - 1) / TensorView::kScaleBlock; };
  if (tensor.shape.size() != 2) {
    return fail(ErrorCode::unsupported, "F8_E4M3 in " + std::to_string(tensor.shape.size()) + " dimensions",
                safetensors()->path(tensor) + ", tensor " + printable(tensor.name));
  }
  const std::vector<uint64_t> expected = {blocks(tensor.shape[0]), blocks(tensor.shape[1])};
  const SafetensorsTensor* scales = safetensors()->find(name);
  if (scales == nullptr) {
    return fail(ErrorCode::malformed, "is missing; expected " + list(expected),
                safetensors()->path(tensor) + ", tensor " + printable(name));
  }
  const std::string where = safetensors()->path(*scales) + ", tensor " + printable(name);
  if (scales->type != SafetensorsType::f32) {
    return fail(ErrorCode::unsupported,
                "dtype " + std::string(safetensors_type_name(scales->type)) + " is not supported for scales; F32 is",
                where);
  }
  if (scales->shape != expected) {
    return fail(ErrorCode::malformed, "expected " + list(expected) + ", found " + list(scales->shape), where);
  }
  return safetensors()->data(*scales);
}

Result<TensorView> Weights::get(std::string_view name, std::span<const uint64_t> ne) const {
  if (gguf() != nullptr) {
    const GgufTensor* tensor = gguf()->find_tensor(name);
    return tensor == nullptr ? missing(name, ne) : view(*tensor, ne);
  }
  for (const HfName& hf : hf_names(config_.architecture, name)) {
    if (const SafetensorsTensor* tensor = safetensors()->find(hf.name)) return view(*tensor, ne);
  }
  return missing(name, ne);
}

Result<std::vector<TensorView>> Weights::experts(std::string_view name, uint64_t n_in, uint64_t n_out,
                                                 uint32_t count) const {
  if (gguf() == nullptr) return hf_experts(name, n_in, n_out, count);
  const std::array<uint64_t, 3> stacked = {n_in, n_out, count};
  if (gguf()->find_tensor(name) != nullptr || gguf()->find_tensor(gguf_expert_name(name, 0)) == nullptr) {
    return get(name, stacked).map([](const TensorView& v) { return std::vector<TensorView>{v}; });
  }
  std::vector<TensorView> out;  // one by one: files made before March 2024
  for (uint32_t expert = 0; expert < count; ++expert) {
    auto one = get(gguf_expert_name(name, expert), {n_in, n_out});
    if (!one) return tl::make_unexpected(one.error());
    out.push_back(*one);
  }
  return out;
}

Result<std::vector<TensorView>> Weights::hf_experts(std::string_view name, uint64_t n_in, uint64_t n_out,
                                                    uint32_t count) const {
  for (const HfName& hf : hf_names(config_.architecture, name)) {
    const SafetensorsTensor* tensor = safetensors()->find(hf.per_expert() ? hf.of_expert(0) : hf.name);
    if (tensor == nullptr) continue;
    if (hf.per_expert()) {
      std::vector<TensorView> out;
      const std::array<uint64_t, 2> ne = {n_in, n_out};
      for (uint32_t expert = 0; expert < count; ++expert) {
        tensor = safetensors()->find(hf.of_expert(expert));
        if (tensor == nullptr) {
          return fail(ErrorCode::malformed, "is missing; expected " + list(reversed(ne)),
                      safetensors()->folder() + ", tensor " + hf.of_expert(expert));
        }
        auto one = view(*tensor, ne);
        if (!one) return tl::make_unexpected(one.error());
        out.push_back(*one);
      }
      return out;
    }
    const bool halved = hf.half != HfName::Half::none;
    auto whole = view(*tensor, std::array<uint64_t, 3>{n_in, halved ? 2 * n_out : n_out, count});
    if (whole && halved) {  // rows of gate and up lie behind each other in each expert
      const std::string where = safetensors()->path(*tensor) + ", tensor " + printable(tensor->name);
      const uint64_t first = hf.half == HfName::Half::up ? n_out : 0;
      whole = located(
          TensorView::make(whole->type, {n_in, 2 * n_out * count}, whole->bytes).and_then([&](const TensorView& rows) {
            return rows.groups(count, first, n_out);
          }),
          where);
    }
    return whole.map([](const TensorView& v) { return std::vector<TensorView>{v}; });
  }
  return missing(name, std::array<uint64_t, 3>{n_in, n_out, count});
}

Result<MlaUpProjection> Weights::mla_up_projection(uint32_t layer) const {
  if (!config_.mla) return fail(ErrorCode::internal, "the model has no MLA");
  const MlaConfig& mla = *config_.mla;
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  MlaUpProjection out;
  const auto keep = [](TensorView& to) { return [&to](const TensorView& v) { to = v; }; };
  Status status;
  if (has(prefix + "attn_k_b.weight")) {
    status =
        get(prefix + "attn_k_b.weight", {mla.qk_nope, mla.kv_lora_rank, config_.heads}).map(keep(out.k)).and_then([&] {
          return get(prefix + "attn_v_b.weight", {mla.kv_lora_rank, mla.v_head, config_.heads}).map(keep(out.v));
        });
  } else {
    out.k_transposed = true;
    const uint64_t rows = uint64_t{mla.qk_nope} + mla.v_head;
    status = get(prefix + "attn_kv_b.weight", {mla.kv_lora_rank, config_.heads * rows})
                 .and_then([&](const TensorView& both) {
                   return both.groups(config_.heads, 0, mla.qk_nope).map(keep(out.k)).and_then([&] {
                     return both.groups(config_.heads, mla.qk_nope, mla.v_head).map(keep(out.v));
                   });
                 });
  }
  if (!status) return tl::make_unexpected(status.error());
  return out;
}

Result<TensorView> Weights::output() const {
  const bool tied = config_.tied_output && !has("output.weight");
  return get(tied ? "token_embd.weight" : "output.weight", {config_.embedding, config_.vocabulary});
}

Status Weights::check() const {
  for (const TensorSpec& spec : tensor_specs(config_, mla_layout())) {
    Status status =
        spec.role == TensorRole::routed_expert
            ? experts(spec.name, spec.ne[0], spec.ne[1], static_cast<uint32_t>(spec.ne[2])).map([](const auto&) {})
            : get(spec.name, spec.ne).map([](const auto&) {});
    if (!status) return status;
  }
  return {};
}

std::vector<Bytes> Weights::tensor_bytes() const {
  std::vector<Bytes> out;
  std::visit(
      [&out](const auto& files) {
        for (const auto& tensor : files.tensors()) out.push_back(files.data(tensor));
      },
      files_);
  return out;
}

}  // namespace vitrine
