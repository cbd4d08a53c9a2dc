#include "engine/gguf.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace vitrine {
namespace {

constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;           // key length, key, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // name length, name, dimensions, one size, type, offset

// Bytes of one element; nothing for strings and arrays, whose size is in the file.
std::optional<uint64_t> fixed_size(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    case GgufType::string:
    case GgufType::array: break;
  }
  return std::nullopt;
}

std::string_view key_of(const GgufEntry& entry) { return entry.key; }
std::string_view name_of(const GgufTensor& tensor) { return tensor.name; }

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  const auto number = static_cast<uint32_t>(type);
  return number < std::size(kNames) ? kNames[number] : "?";
}

class GgufParser {
 public:
  GgufParser(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name), reader_(bytes, false) {}

  Result<GgufFile> parse() {
    return read_header()
        .and_then([&] { return read_metadata(); })
        .and_then([&] { return read_alignment(); })
        .and_then([&] { return read_tensors(); })
        .and_then([&] { return check_overlaps(); })
        .map([&] { return std::move(file_); });
  }

 private:
  tl::unexpected<Error> malformed(std::string message, const std::string& field) const {
    return fail(ErrorCode::malformed, std::move(message), name_ + ", " + field);
  }
  tl::unexpected<Error> cut(const std::string& field) const {
    return malformed("the file ends inside it (" + std::to_string(bytes_.size()) + " bytes)", field);
  }

  Status read_header() {
    const Bytes magic = reader_.take(4);
    if (as_text(magic) != "GGUF")
      return fail(ErrorCode::unreadable, "no GGUF file: it does not begin with GGUF", name_);
    file_.version_ = reader_.u32();
    tensor_count_ = reader_.u64();
    entry_count_ = reader_.u64();
    if (file_.version_ != 0 && (file_.version_ & 0xffff) == 0) {
      return fail(ErrorCode::unsupported, "a big-endian GGUF file: only little-endian ones are read", name_);
    }
    if (file_.version_ != 2 && file_.version_ != 3) {
      return fail(ErrorCode::unsupported,
                  "GGUF version " + std::to_string(file_.version_) + ": versions 2 and 3 are read", name_);
    }
    if (reader_.failed()) return cut("header");
    if (tensor_count_ > reader_.remaining() / kMinTensorBytes) {
      return malformed(std::to_string(tensor_count_) + " is more tensors than the file has room for", "tensor_count");
    }
    if (entry_count_ > reader_.remaining() / kMinEntryBytes) {
      return malformed(std::to_string(entry_count_) + " is more keys than the file has room for", "metadata_kv_count");
    }
    return {};
  }

  Status read_metadata() {
    for (uint64_t i = 0; i < entry_count_; ++i) {
      const std::string number = "key " + std::to_string(i);
      GgufEntry entry;
      const uint64_t length = reader_.u64();
      if (!reader_.failed() && (length == 0 || length > GgufFile::kMaxKeyBytes)) {
        return malformed("a name of " + std::to_string(length) + " bytes", number);
      }
      entry.key = as_text(reader_.take(length));
      const uint32_t type = reader_.u32();
      if (reader_.failed()) return cut(number);
      if (Status status = read_value(type, "key " + printable(entry.key), entry.value); !status) return status;
      file_.metadata_.push_back(entry);
    }
    auto index = NameIndex::build(file_.metadata_, key_of);
    if (!index) return malformed("the key comes twice", "key " + printable(file_.metadata_[index.error()].key));
    file_.by_key_ = std::move(*index);
    return {};
  }

  Status read_value(uint32_t type, const std::string& field, GgufValue& value) {
    if (type > static_cast<uint32_t>(GgufType::f64)) {
      return fail(ErrorCode::unsupported, "value type " + std::to_string(type), name_ + ", " + field);
    }
    value.type_ = static_cast<GgufType>(type);
    if (value.type_ == GgufType::array) return read_array(field, value);
    value.bytes_ =
        value.type_ == GgufType::string ? reader_.take(reader_.u64()) : reader_.take(*fixed_size(value.type_));
    if (reader_.failed()) return cut(field);
    if (value.type_ == GgufType::boolean && value.bytes_[0] > 1)
      return malformed("a boolean that is neither 0 nor 1", field);
    return {};
  }

  Status read_array(const std::string& field, GgufValue& value) {
    const uint32_t element = reader_.u32();
    value.count_ = reader_.u64();
    if (reader_.failed()) return cut(field);
    if (element == static_cast<uint32_t>(GgufType::array)) {
      return fail(ErrorCode::unsupported, "an array of arrays", name_ + ", " + field);
    }
    if (element > static_cast<uint32_t>(GgufType::f64)) {
      return fail(ErrorCode::unsupported, "array of value type " + std::to_string(element), name_ + ", " + field);
    }
    value.element_ = static_cast<GgufType>(element);
    const auto width = fixed_size(value.element_);
    if (value.count_ > reader_.remaining() / width.value_or(8)) {  // a string has at least its length
      return malformed("an array of " + std::to_string(value.count_) + " elements is longer than the file", field);
    }
    if (width) {
      value.bytes_ = reader_.take(value.count_ * *width);
      if (value.element_ == GgufType::boolean &&
          std::any_of(value.bytes_.begin(), value.bytes_.end(), [](uint8_t b) { return b > 1; })) {
        return malformed("a boolean that is neither 0 nor 1", field);
      }
      return {};
    }
    const size_t begin = reader_.position();
    for (uint64_t i = 0; i < value.count_ && !reader_.failed(); ++i) reader_.skip(reader_.u64());
    if (reader_.failed()) return cut(field);
    value.bytes_ = bytes_.subspan(begin, reader_.position() - begin);
    return {};
  }

  Status read_alignment() {
    const GgufValue* value = file_.find("general.alignment");
    if (value == nullptr) return {};
    const auto alignment = value->as_unsigned();
    if (!alignment || *alignment == 0 || (*alignment & (*alignment - 1)) != 0 || *alignment > GgufFile::kMaxAlignment) {
      return malformed("must be a power of two up to " + std::to_string(GgufFile::kMaxAlignment),
                       "key general.alignment");
    }
    file_.alignment_ = *alignment;
    return {};
  }

  Status read_tensors() {
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      GgufTensor tensor;
      if (Status status = read_tensor(i, tensor); !status) return status;
      file_.tensors_.push_back(tensor);
    }
    if (auto index = NameIndex::build(file_.tensors_, name_of); !index) {
      return malformed("the tensor comes twice", "tensor " + printable(file_.tensors_[index.error()].name));
    }
    // Offsets count from the end of the descriptions, rounded up.
    const uint64_t mask = file_.alignment_ - 1;
    const uint64_t data_begin = (reader_.position() + mask) & ~mask;
    for (GgufTensor& tensor : file_.tensors_) {
      const uint64_t room = bytes_.size() > data_begin ? bytes_.size() - data_begin : 0;
      const std::string field = "tensor " + printable(tensor.name);
      if ((tensor.offset & mask) != 0) {
        return malformed("offset " + std::to_string(tensor.offset) + " is no multiple of the alignment, " +
                             std::to_string(file_.alignment_),
                         field);
      }
      if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
        return malformed("its " + std::to_string(tensor.bytes) + " bytes at offset " + std::to_string(tensor.offset) +
                             " are not in the file: " + std::to_string(room) + " bytes of data are there",
                         field);
      }
      tensor.offset += data_begin;
    }
    return {};
  }

  Status read_tensor(uint64_t index, GgufTensor& tensor) {
    const std::string number = "tensor " + std::to_string(index);
    const uint64_t length = reader_.u64();
    if (!reader_.failed() && (length == 0 || length > GgufFile::kMaxTensorNameBytes)) {
      return malformed("a name of " + std::to_string(length) + " bytes", number);
    }
    tensor.name = as_text(reader_.take(length));
    tensor.dimensions = reader_.u32();
    if (reader_.failed()) return cut(number);
    const std::string field = "tensor " + printable(tensor.name);
    if (tensor.dimensions == 0 || tensor.dimensions > tensor.ne.size()) {
      return malformed(std::to_string(tensor.dimensions) + " dimensions", field);
    }
    for (uint32_t d = 0; d < tensor.dimensions; ++d) tensor.ne[d] = reader_.u64();
    const uint32_t type = reader_.u32();
    tensor.offset = reader_.u64();
    if (reader_.failed()) return cut(field);
    const auto bytes = ggml_bytes(type, std::span(tensor.ne).first(tensor.dimensions));
    if (!bytes) return fail(bytes.error().code, bytes.error().message, name_ + ", " + field);
    tensor.type = *ggml_type(type);
    tensor.bytes = *bytes;
    return {};
  }

  // A byte belongs to one tensor: a file that says otherwise was not written by
  // a converter, and could make one checked tensor the content of another.
  Status check_overlaps() {
    std::vector<uint32_t> order(file_.tensors_.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto& tensors = file_.tensors_;
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return tensors[a].offset < tensors[b].offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = tensors[order[i - 1]];
      const GgufTensor& behind = tensors[order[i]];
      if (before.bytes > behind.offset - before.offset) {
        return malformed("overlaps tensor " + printable(before.name), "tensor " + printable(behind.name));
      }
    }
    return {};
  }

  Bytes bytes_;
  const std::string& name_;
  ByteReader reader_;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  GgufFile file_;
};

Result<GgufFile> GgufFile::parse(Bytes bytes, const std::string& name) { return GgufParser(bytes, name).parse(); }

const GgufValue* GgufFile::find(std::string_view key) const {
  const GgufEntry* entry = by_key_.find(metadata_, key, key_of);
  return entry == nullptr ? nullptr : &entry->value;
}

}  // namespace vitrine
