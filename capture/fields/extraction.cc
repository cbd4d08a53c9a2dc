#include "capture/fields/extraction.h"

#include <algorithm>
#include <charconv>

#include "capture/withheld.h"

namespace vitrine {
namespace {

constexpr size_t kMaxPath = 4096;
constexpr size_t kKeptScratch = 1 << 20;  // bytes of scratch kept between parts, per string

constexpr ValueType kTypeOf[] = {ValueType::string, ValueType::number, ValueType::binary};  // by WithheldKind

}  // namespace

uint64_t share(uint64_t wire, uint64_t part, uint64_t whole) {
  if (wire == whole) return part;
  if (whole == 0) return 0;
  if ((wire | part) >> 32 == 0) return wire * part / whole;
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(wire) * part / whole);
}

void Extraction::begin(const Exchange& exchange, const Part& part, ExchangeFields& fields) {
  exchange_ = &exchange;
  part_ = &part;
  fields_ = &fields;
  direction_ = part.direction;
  field_ = Field{};
  field_.time = part.time;
  field_.direction = part.direction;
  field_.exchange = &exchange;
  field_.packet = part.last_packet;
  spent_ = 0;
  kept_ = 0;
  path_.clear();
  frames_.clear();
  names_.clear();
  sink_.begin_part(exchange, part);
}

void Extraction::end() {
  sink_.end_part(*exchange_, *part_);
  for (const auto& scratch : scratch_) {
    for (std::string* text : {&scratch->text, &scratch->decoded}) {
      if (text->capacity() > kKeptScratch) *text = {};
    }
  }
  if (kept_names_.size() > 1024) kept_names_.resize(1024);
}

void Extraction::part(const Exchange& exchange, const Part& part, ExchangeFields& fields) {
  begin(exchange, part, fields);
  switch (part.kind) {
    case Part::Kind::headers:
      if (part.direction == Direction::client_to_server) request_target(part);
      headers(part);
      break;
    case Part::Kind::trailers: headers(part); break;
    case Part::Kind::body:
    case Part::Kind::message: body(part); break;
  }
  end();
}

void Extraction::plain(Location location, std::string_view name, std::string_view value, Decoder root, StreamSpan span,
                       Direction direction, ValueType type) {
  direction_ = direction;
  field_.direction = direction;
  const Place place = name_place(location, name, 0);
  Value leaf_value;
  leaf_value.bytes = value;
  leaf_value.origin = child(0, root, span.offset, span.length);
  leaf_value.origin.root = true;
  emit(value, type, leaf_value, place, node(leaf_value.origin), false, 0);
}

void Extraction::emit(std::string_view bytes, ValueType type, const Value& value, Place place, OriginId origin,
                      bool opaque, float entropy) {
  if (fields_->fields >= limits_.fields_per_exchange) {
    if (!fields_->limit_reported) issue(Cause::truncated, "fields: an exchange has more fields than are kept");
    fields_->limit_reported = true;
    return;
  }
  ++fields_->fields;
  field_.path = path_;
  field_.name = place.name;
  field_.value = bytes;
  field_.value_type = type;
  field_.pattern = place.pattern;
  field_.origin = origin;
  field_.opaque = opaque;
  field_.entropy = opaque ? entropy : 0;
  field_.wire_bytes = value.wire;
  field_.cut = value.cut;
  if (bytes.size() > limits_.value_bytes) {
    field_.value = bytes.substr(0, limits_.value_bytes);
    field_.cut = true;
  }
  field_.withheld = false;
  if (exchange_->connection != nullptr && exchange_->connection->content != RecordedContent::full) {
    WithheldValue left_out;
    field_.withheld = parse_withheld(bytes, left_out);
    if (field_.withheld) field_.value_type = kTypeOf[static_cast<size_t>(left_out.kind)];
  }
  // A cut inside a character is not a character.
  if (field_.cut && type == ValueType::string) field_.value = field_.value.substr(0, trim_utf8(field_.value));
  if (opaque) fields_->opaque[static_cast<size_t>(direction_)] += value.wire;
  sink_.field(field_);
}

OriginId Extraction::node(OriginNode origin) {
  // Origins of fields that are not kept are not kept either.
  if (fields_->fields >= limits_.fields_per_exchange && fields_->origins.size() != 0) return 0;
  return fields_->origins.add(origin);
}

OriginNode Extraction::child(OriginId parent, Decoder decoder, uint64_t offset, uint64_t length) const {
  OriginNode origin;
  origin.parent = parent;
  origin.decoder = decoder;
  origin.direction = direction_;
  origin.offset = offset;
  origin.length = length;
  return origin;
}

void Extraction::start_path(std::string_view text) { path_.assign(text); }

void Extraction::append_nth(uint32_t nth) {
  if (nth == 0) return;
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, nth).ptr;
  path_.push_back('[');
  path_.append(digits, end);
  path_.push_back(']');
}

Extraction::Place Extraction::decoder_place(Place outer, Decoder decoder) {
  const std::string_view name = to_string(decoder);
  if (path_.size() < kMaxPath) {
    path_.push_back('|');
    path_.append(name);
  }
  return {outer.pattern == 0 ? 0 : patterns_.intern(outer.pattern, PatternTable::Step::decoder, name), outer.name};
}

Extraction::Place Extraction::key_place(PatternId parent, std::string_view key, uint32_t nth) {
  return member_place(parent == 0 ? 0 : patterns_.intern(parent, PatternTable::Step::key, key), key, nth);
}

Extraction::Place Extraction::member_place(PatternId pattern, std::string_view key, uint32_t nth) {
  if (path_.size() < kMaxPath) {
    path_.push_back('/');
    append_path_segment(path_, key);
    append_nth(nth);
  }
  return {pattern, key.substr(0, kMaxSegment)};
}

Extraction::Place Extraction::name_place(Location location, std::string_view name, uint32_t nth) {
  field_.location = location;
  const std::string_view prefix = to_string(location);
  start_path(prefix);
  const PatternId root = patterns_.intern(PatternTable::kRoot, PatternTable::Step::location, prefix);
  path_.push_back(':');
  append_path_segment(path_, name);
  append_nth(nth);
  return {root == 0 ? 0 : patterns_.intern(root, PatternTable::Step::name, name), name.substr(0, kMaxSegment)};
}

std::string_view Extraction::keep_name(std::string_view name) {
  if (kept_ == kept_names_.size()) kept_names_.push_back(std::make_unique<std::string>());
  std::string& kept = *kept_names_[kept_++];
  kept.assign(name.substr(0, kMaxSegment));
  return kept;
}

Extraction::Scratch& Extraction::scratch(uint32_t depth) {
  while (scratch_.size() <= depth) scratch_.push_back(std::make_unique<Scratch>());
  return *scratch_[depth];
}

bool Extraction::spend(uint64_t decoded) {
  if (decoded > budget()) {
    issue(Cause::truncated, "fields: a part decodes to more bytes than are kept");
    return false;
  }
  spent_ += decoded;
  return true;
}

void Extraction::issue(Cause cause, std::string_view what) {
  if (issues_ == nullptr) return;
  issues_->issue({cause, std::string(what), part_->last_packet, exchange_->id.connection});
}

}  // namespace vitrine
