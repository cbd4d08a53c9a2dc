#include <cstdio>

#include "base/text.h"
#include "engine/gguf.h"

namespace vitrine {
namespace {

std::string_view name_of(const GgufTensor& tensor) { return tensor.name; }

// NAME-00001-of-00003.gguf, taken apart.
struct SplitName {
  std::string prefix;
  uint32_t number = 0;  // from 1
  uint32_t count = 0;

  std::string path(uint32_t part) const {  // part from 0
    char tail[32];
    std::snprintf(tail, sizeof tail, "-%05u-of-%05u.gguf", part + 1, count);
    return prefix + tail;
  }
};

std::optional<SplitName> split_name(const std::string& path) {
  constexpr std::string_view kPattern = "-NNNNN-of-NNNNN.gguf";
  if (path.size() < kPattern.size()) return std::nullopt;
  SplitName out;
  out.prefix = path.substr(0, path.size() - kPattern.size());
  uint32_t* number = &out.number;
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const char c = path[out.prefix.size() + i];
    if (kPattern[i] != 'N') {
      if (c != kPattern[i]) return std::nullopt;
      if (c == 'o') number = &out.count;
    } else {
      if (c < '0' || c > '9') return std::nullopt;
      *number = *number * 10 + static_cast<uint32_t>(c - '0');
    }
  }
  if (out.number == 0 || out.number > out.count) return std::nullopt;
  return out;
}

Result<uint64_t> split_key(const GgufFile& file, const char* key, const std::string& path) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return fail(ErrorCode::malformed, "a part of a split model without it", path + ", key " + key);
  const auto number = value->as_unsigned();
  if (!number) return fail(ErrorCode::malformed, "must be a number, not negative", path + ", key " + key);
  return *number;
}

Status check_part(const GgufFile& file, const std::string& path, uint32_t part, uint32_t count) {
  const auto number = split_key(file, "split.no", path);
  if (!number) return tl::make_unexpected(number.error());
  const auto parts = split_key(file, "split.count", path);
  if (!parts) return tl::make_unexpected(parts.error());
  if (*number != part || *parts != count) {
    return fail(ErrorCode::malformed,
                "says part " + std::to_string(*number) + " of " + std::to_string(*parts) + " (from 0); its name says " +
                    std::to_string(part) + " of " + std::to_string(count),
                path + ", key split.no");
  }
  return {};
}

}  // namespace

Status GgufModel::index_tensors() {
  for (uint32_t part = 0; part < parts_.size(); ++part) {
    for (GgufTensor tensor : parts_[part].file.tensors()) {
      tensor.part = part;
      tensors_.push_back(tensor);
    }
  }
  auto index = NameIndex::build(tensors_, name_of);
  if (!index) {
    const GgufTensor& twice = tensors_[index.error()];
    return fail(ErrorCode::malformed, "the tensor is also in another part",
                path(twice) + ", tensor " + printable(twice.name));
  }
  by_name_ = std::move(*index);
  return {};
}

Result<GgufModel> GgufModel::from_bytes(Bytes bytes, const std::string& name) {
  GgufModel model;
  auto file = GgufFile::parse(bytes, name);
  if (!file) return tl::make_unexpected(file.error());
  model.parts_.push_back({name, std::nullopt, bytes, std::move(*file)});
  if (Status status = model.index_tensors(); !status) return tl::make_unexpected(status.error());
  return model;
}

Result<GgufModel> GgufModel::open(const std::string& path) {
  GgufModel model;
  const auto add = [&](const std::string& part) -> Status {
    auto map = MappedFile::open(part, FileAccess::random);
    if (!map) return tl::make_unexpected(map.error());
    const Bytes bytes = map->bytes();
    auto file = GgufFile::parse(bytes, part);
    if (!file) return tl::make_unexpected(file.error());
    model.parts_.push_back({part, std::move(*map), bytes, std::move(*file)});
    return {};
  };
  if (Status status = add(path); !status) return tl::make_unexpected(status.error());

  const GgufValue* count = model.find("split.count");
  if (count != nullptr && count->as_unsigned() != 1u) {
    const auto name = split_name(path);
    if (!name) {
      return fail(ErrorCode::unreadable,
                  "a part of a split model must keep its name, NAME-00001-of-00003.gguf, beside the other parts", path);
    }
    model.parts_.clear();
    for (uint32_t part = 0; part < name->count; ++part) {
      const std::string part_path = name->path(part);
      Status status =
          add(part_path).and_then([&] { return check_part(model.parts_.back().file, part_path, part, name->count); });
      if (!status) return tl::make_unexpected(status.error());
    }
  }
  if (Status status = model.index_tensors(); !status) return tl::make_unexpected(status.error());
  if (model.parts() > 1) {
    const auto total = split_key(model.parts_[0].file, "split.tensors.count", model.path());
    if (!total) return tl::make_unexpected(total.error());
    if (*total != model.tensors_.size()) {
      return fail(
          ErrorCode::malformed,
          "says " + std::to_string(*total) + " tensors, the parts hold " + std::to_string(model.tensors_.size()),
          model.path() + ", key split.tensors.count");
    }
  }
  return model;
}

const GgufTensor* GgufModel::find_tensor(std::string_view name) const { return by_name_.find(tensors_, name, name_of); }

Bytes GgufModel::data(const GgufTensor& tensor) const {
  return parts_[tensor.part].bytes.subspan(tensor.offset, tensor.bytes);
}

}  // namespace vitrine
