#include "engine/gguf_writer.h"

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/ggml_type.h"

namespace vitrine {
namespace {

void append_integer(std::string& out, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void append_string(std::string& out, std::string_view text) {
  append_integer(out, text.size(), 8);
  out.append(text);
}

}  // namespace

GgufWriter::GgufWriter(Sink sink, uint32_t alignment) : sink_(std::move(sink)), alignment_(alignment) {
  if (alignment != 32) add("general.alignment", alignment);
}

void GgufWriter::key(std::string_view name, GgufType type) {
  ++entry_count_;
  append_string(entries_, name);
  append_integer(entries_, static_cast<uint32_t>(type), 4);
}

void GgufWriter::add(std::string_view name, uint32_t value) {
  key(name, GgufType::u32);
  append_integer(entries_, value, 4);
}
void GgufWriter::add(std::string_view name, int32_t value) {
  key(name, GgufType::i32);
  append_integer(entries_, static_cast<uint32_t>(value), 4);
}
void GgufWriter::add(std::string_view name, uint16_t value) {
  key(name, GgufType::u16);
  append_integer(entries_, value, 2);
}
void GgufWriter::add(std::string_view name, uint64_t value) {
  key(name, GgufType::u64);
  append_integer(entries_, value, 8);
}
void GgufWriter::add(std::string_view name, float value) {
  key(name, GgufType::f32);
  append_integer(entries_, std::bit_cast<uint32_t>(value), 4);
}
void GgufWriter::add(std::string_view name, bool value) {
  key(name, GgufType::boolean);
  append_integer(entries_, value ? 1 : 0, 1);
}
void GgufWriter::add(std::string_view name, std::string_view value) {
  key(name, GgufType::string);
  append_string(entries_, value);
}
void GgufWriter::add(std::string_view name, std::span<const std::string> values) {
  key(name, GgufType::array);
  append_integer(entries_, static_cast<uint32_t>(GgufType::string), 4);
  append_integer(entries_, values.size(), 8);
  for (const std::string& value : values) append_string(entries_, value);
}
void GgufWriter::add(std::string_view name, std::span<const int32_t> values) {
  key(name, GgufType::array);
  append_integer(entries_, static_cast<uint32_t>(GgufType::i32), 4);
  append_integer(entries_, values.size(), 8);
  for (const int32_t value : values) append_integer(entries_, static_cast<uint32_t>(value), 4);
}
void GgufWriter::add(std::string_view name, std::span<const float> values) {
  key(name, GgufType::array);
  append_integer(entries_, static_cast<uint32_t>(GgufType::f32), 4);
  append_integer(entries_, values.size(), 8);
  for (const float value : values) append_integer(entries_, std::bit_cast<uint32_t>(value), 4);
}

Status GgufWriter::add_tensor(std::string_view name, uint32_t type, std::span<const uint64_t> ne) {
  const auto bytes = ggml_bytes(type, ne);
  if (!bytes) return fail(ErrorCode::internal, bytes.error().message, "tensor " + std::string(name));
  append_string(descriptions_, name);
  append_integer(descriptions_, ne.size(), 4);
  for (const uint64_t n : ne) append_integer(descriptions_, n, 8);
  append_integer(descriptions_, type, 4);
  append_integer(descriptions_, data_bytes_, 8);
  sizes_.push_back(*bytes);
  data_bytes_ += (*bytes + alignment_ - 1) / alignment_ * alignment_;
  return {};
}

Status GgufWriter::begin_data() {
  std::string head = "GGUF";
  append_integer(head, 3, 4);
  append_integer(head, sizes_.size(), 8);
  append_integer(head, entry_count_, 8);
  head += entries_;
  head += descriptions_;
  head.resize((head.size() + alignment_ - 1) / alignment_ * alignment_, '\0');
  return sink_(as_bytes(head));
}

uint64_t GgufWriter::left() const { return current_ < sizes_.size() ? sizes_[current_] - written_ : 0; }

Status GgufWriter::pad() {
  static constexpr uint8_t kZeros[4096] = {};
  uint64_t padding = (alignment_ - sizes_[current_] % alignment_) % alignment_;
  while (padding > 0) {
    const uint64_t n = std::min<uint64_t>(padding, sizeof kZeros);
    if (Status status = sink_(Bytes(kZeros, n)); !status) return status;
    padding -= n;
  }
  ++current_;
  written_ = 0;
  return {};
}

Status GgufWriter::write(Bytes bytes) {
  while (!bytes.empty()) {
    if (left() == 0) return fail(ErrorCode::internal, "more bytes than the tensors have");
    const Bytes now = bytes.first(std::min<uint64_t>(left(), bytes.size()));
    if (Status status = sink_(now); !status) return status;
    written_ += now.size();
    bytes = bytes.subspan(now.size());
    if (left() == 0) {
      if (Status status = pad(); !status) return status;
    }
  }
  return {};
}

Status GgufWriter::finish() {
  if (current_ != sizes_.size())
    return fail(ErrorCode::internal, "tensor " + std::to_string(current_) + " lacks bytes");
  return sink_({});
}

GgufWriter::Sink append_to(std::string& out) {
  return [&out](Bytes bytes) -> Status {
    out.append(as_text(bytes));
    return {};
  };
}

Result<GgufWriter::Sink> write_to_file(const std::string& path) {
  std::shared_ptr<FILE> file(std::fopen(path.c_str(), "wbe"), [](FILE* f) {
    if (f != nullptr) std::fclose(f);
  });
  const auto reason = [path](const char* what) {
    return fail(ErrorCode::unreadable, std::string(what) + ": " + std::strerror(errno), path);
  };
  if (!file) return reason("cannot create");
  std::setvbuf(file.get(), nullptr, _IOFBF, 1 << 20);
  return GgufWriter::Sink([file, reason](Bytes bytes) -> Status {
    if (bytes.empty() && std::fflush(file.get()) != 0) return reason("cannot write");
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) return reason("cannot write");
    return {};
  });
}

}  // namespace vitrine
