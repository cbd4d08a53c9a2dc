#include <filesystem>

#include "base/text.h"
#include "engine/safetensors.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 64ull << 20;
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

std::string_view name_of(const SafetensorsTensor& tensor) { return tensor.name; }

}  // namespace

Status SafetensorsModel::add(std::string name, std::optional<MappedFile> map, Bytes bytes) {
  auto file = SafetensorsFile::parse(bytes, name);
  if (!file) return tl::make_unexpected(file.error());
  for (SafetensorsTensor& tensor : std::move(*file).take()) {
    tensor.file = static_cast<uint32_t>(files_.size());
    tensors_.push_back(std::move(tensor));
  }
  files_.push_back({std::move(name), std::move(map), bytes});
  return {};
}

Status SafetensorsModel::index_names() {
  auto index = NameIndex::build(tensors_, name_of);
  if (!index) {
    const SafetensorsTensor& twice = tensors_[index.error()];
    return fail(ErrorCode::malformed, "the tensor is also in another file",
                path(twice) + ", tensor " + printable(twice.name));
  }
  by_name_ = std::move(*index);
  return {};
}

Result<SafetensorsModel> SafetensorsModel::from_bytes(Bytes bytes, const std::string& name) {
  SafetensorsModel model;
  model.folder_ = name;
  if (Status status = model.add(name, std::nullopt, bytes).and_then([&] { return model.index_names(); }); !status) {
    return tl::make_unexpected(status.error());
  }
  return model;
}

Result<SafetensorsModel> SafetensorsModel::open(const std::string& path) {
  std::error_code ignored;
  fs::path file = path;
  if (fs::is_directory(file, ignored)) {
    file = fs::path(path) / kIndexName;
    if (!fs::exists(file, ignored)) file = fs::path(path) / kSingleName;
    if (!fs::exists(file, ignored)) {
      return fail(ErrorCode::unreadable, std::string("holds neither ") + kIndexName + " nor " + kSingleName, path);
    }
  }
  SafetensorsModel model;
  model.folder_ = file.has_parent_path() ? file.parent_path().string() : ".";
  const auto map_and_add = [&](const std::string& name) -> Status {
    auto map = MappedFile::open(name, FileAccess::random);
    if (!map) return tl::make_unexpected(map.error());
    const Bytes bytes = map->bytes();
    return model.add(name, std::move(*map), bytes);
  };
  if (file.extension() != ".json") {
    if (Status status = map_and_add(file.string()); !status) return tl::make_unexpected(status.error());
    if (Status status = model.index_names(); !status) return tl::make_unexpected(status.error());
    return model;
  }

  const auto text = read_file(file.string(), kMaxIndexBytes);
  if (!text) return tl::make_unexpected(text.error());
  const auto index = SafetensorsIndex::parse(*text, file.string());
  if (!index) return tl::make_unexpected(index.error());
  for (const std::string& name : index->files) {
    if (Status status = map_and_add((fs::path(model.folder_) / name).string()); !status) {
      return tl::make_unexpected(status.error());
    }
  }
  if (Status status = model.index_names(); !status) return tl::make_unexpected(status.error());
  for (const auto& [name, shard] : index->tensors) {
    const SafetensorsTensor* tensor = model.find(name);
    if (tensor == nullptr || tensor->file != shard) {
      return fail(ErrorCode::malformed, "is not in " + index->files[shard] + ", where the index says it is",
                  file.string() + ", weight_map/" + printable(name));
    }
  }
  if (index->tensors.size() != model.tensors_.size()) {
    return fail(ErrorCode::malformed,
                "lists " + std::to_string(index->tensors.size()) + " tensors, its files hold " +
                    std::to_string(model.tensors_.size()),
                file.string() + ", weight_map");
  }
  return model;
}

const SafetensorsTensor* SafetensorsModel::find(std::string_view name) const {
  return by_name_.find(tensors_, name, name_of);
}

Bytes SafetensorsModel::data(const SafetensorsTensor& tensor) const {
  return files_[tensor.file].bytes.subspan(tensor.offset, tensor.bytes);
}

}  // namespace vitrine
