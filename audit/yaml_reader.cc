#include "audit/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <sstream>

#include "base/file.h"

namespace vitrine {
namespace {

// Leaves the event handler; caught in parse(), never seen outside this file.
struct Refused {
  int line;
  std::string message;
};

}  // namespace

// Turns yaml-cpp's events into the tree, with the bounds applied while it grows.
class YamlBuilder : public YAML::EventHandler {
 public:
  YamlBuilder(const std::string& file, YamlLimits limits)
      : file_(std::make_shared<const std::string>(file)), limits_(limits) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    plain_only(mark, "?", anchor);
    add(YamlNode::Kind::null, mark, {}, true);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{mark.line + 1, "aliases are not used in these files"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    plain_only(mark, tag, anchor);
    add(YamlNode::Kind::scalar, mark, value, tag != "!");
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    plain_only(mark, tag, anchor);
    open(YamlNode::Kind::sequence, mark);
  }
  void OnSequenceEnd() override { stack_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    plain_only(mark, tag, anchor);
    open(YamlNode::Kind::map, mark);
  }
  void OnMapEnd() override { stack_.pop_back(); }

  YamlDocument take() {
    document_.root_ = document_.nodes_.empty() ? nullptr : document_.nodes_.front().get();
    return std::move(document_);
  }
  bool empty() const { return document_.nodes_.empty(); }

 private:
  struct Level {
    YamlNode* node;
    bool key_read = false;  // maps: the next event is the value of keys_.back()
  };

  static void plain_only(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) throw Refused{mark.line + 1, "anchors are not used in these files"};
    if (!tag.empty() && tag != "?" && tag != "!") throw Refused{mark.line + 1, "unknown tag '" + tag + "'"};
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (stack_.size() >= limits_.depth)
      throw Refused{mark.line + 1, "nested deeper than the bound of " + std::to_string(limits_.depth)};
    YamlNode* node = add(kind, mark, {}, true);
    stack_.push_back({node, false});
  }

  YamlNode* add(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& scalar, bool plain) {
    const int line = mark.line + 1;
    if (document_.nodes_.size() >= limits_.nodes)
      throw Refused{line, "more values than the bound of " + std::to_string(limits_.nodes)};
    if (!stack_.empty() && stack_.back().node->kind_ == YamlNode::Kind::map && !stack_.back().key_read) {
      if (kind != YamlNode::Kind::scalar) throw Refused{line, "a key must be a word"};
      YamlNode& map = *stack_.back().node;
      for (const std::string& key : map.keys_)
        if (key == scalar) throw Refused{line, "key '" + scalar + "' stands twice"};
      // A map is searched linearly; a bound keeps that from becoming quadratic.
      if (map.keys_.size() >= 256) throw Refused{line, "more than 256 keys in one map"};
      map.keys_.push_back(scalar);
      stack_.back().key_read = true;
      return nullptr;
    }
    auto node = std::make_unique<YamlNode>();
    node->kind_ = kind;
    node->line_ = line;
    node->plain_ = plain;
    node->scalar_ = scalar;
    node->file_ = file_;
    if (!stack_.empty()) {
      Level& level = stack_.back();
      node->parent_ = level.node;
      node->index_ = level.node->items_.size();
      level.node->items_.push_back(node.get());
      level.key_read = false;
    }
    document_.nodes_.push_back(std::move(node));
    return document_.nodes_.back().get();
  }

  std::shared_ptr<const std::string> file_;
  YamlLimits limits_;
  YamlDocument document_;
  std::vector<Level> stack_;
};

Result<YamlDocument> YamlDocument::parse(std::string_view text, const std::string& file, YamlLimits limits) {
  if (text.size() > limits.bytes)
    return fail(ErrorCode::limit, "longer than the bound of " + std::to_string(limits.bytes) + " bytes", file);
  const auto at = [&file](int line) { return file + ":" + std::to_string(line); };
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    YamlBuilder builder(file, limits);
    if (!parser.HandleNextDocument(builder) || builder.empty())
      return fail(ErrorCode::malformed, "the file holds no YAML document", file);
    YamlBuilder second(file, limits);
    if (parser.HandleNextDocument(second)) return fail(ErrorCode::malformed, "more than one YAML document", file);
    return builder.take();
  } catch (const Refused& refused) {
    return fail(ErrorCode::malformed, refused.message, at(refused.line));
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::malformed, "not YAML: " + error.msg, at(error.mark.line + 1));
  } catch (const std::exception& error) {
    return fail(ErrorCode::malformed, std::string("not readable as YAML: ") + error.what(), file);
  }
}

Result<YamlDocument> YamlDocument::load(const std::string& path, YamlLimits limits) {
  auto text = read_file(path, limits.bytes);
  if (!text) return tl::unexpected(text.error());
  return parse(*text, path, limits);
}

const YamlNode* YamlNode::find(std::string_view key) const {
  for (size_t i = 0; i < keys_.size(); ++i)
    if (keys_[i] == key && i < items_.size()) return items_[i];
  return nullptr;
}

std::string YamlNode::where() const {
  std::string path;
  for (const YamlNode* node = this; node->parent_; node = node->parent_) {
    const YamlNode& parent = *node->parent_;
    if (parent.is_sequence()) {
      path = "[" + std::to_string(node->index_) + "]" + (path.empty() || path[0] == '[' ? "" : ".") + path;
    } else {
      path = parent.keys_[node->index_] + (path.empty() || path[0] == '[' ? "" : ".") + path;
    }
  }
  std::string out = *file_ + ":" + std::to_string(line_);
  if (!path.empty()) out += ", key " + path;
  return out;
}

Result<std::string> YamlNode::as_text() const {
  if (!is_scalar()) return tl::unexpected(error(is_null() ? "null is not allowed here" : "expected a text"));
  return scalar_;
}

Result<bool> YamlNode::as_bool() const {
  if (is_scalar() && plain_ && scalar_ == "true") return true;
  if (is_scalar() && plain_ && scalar_ == "false") return false;
  return tl::unexpected(error("expected true or false"));
}

Result<int64_t> YamlNode::as_integer() const {
  int64_t value = 0;
  const char* end = scalar_.data() + scalar_.size();
  const auto read = std::from_chars(scalar_.data(), end, value);
  if (!is_scalar() || !plain_ || read.ec != std::errc{} || read.ptr != end)
    return tl::unexpected(error("expected a whole number"));
  return value;
}

Result<double> YamlNode::as_real() const {
  double value = 0;
  const char* end = scalar_.data() + scalar_.size();
  const auto read = std::from_chars(scalar_.data(), end, value, std::chars_format::fixed);
  if (!is_scalar() || !plain_ || read.ec != std::errc{} || read.ptr != end)
    return tl::unexpected(error("expected a number"));
  return value;
}

YamlMap::YamlMap(const YamlNode& node) : node_(node), used_(node.keys().size(), false) {
  if (!node.is_map()) refuse(node, "expected keys and values");
}

bool YamlMap::has(std::string_view key) const { return node_.find(key) != nullptr; }

const YamlNode* YamlMap::take(std::string_view key, bool required) {
  for (size_t i = 0; i < node_.keys().size() && i < node_.items().size(); ++i) {
    if (node_.keys()[i] != key) continue;
    used_[i] = true;
    return node_.items()[i];
  }
  if (required) refuse(node_, "key '" + std::string(key) + "' is missing");
  return nullptr;
}

const YamlNode* YamlMap::node(std::string_view key) {
  const YamlNode* found = take(key, true);
  if (found && found->is_null()) {
    refuse(*found, "null is not allowed here");
    return nullptr;
  }
  return found;
}

const YamlNode* YamlMap::optional_node(std::string_view key) {
  const YamlNode* found = take(key, false);
  return found && !found->is_null() ? found : nullptr;
}

std::string YamlMap::text(std::string_view key) {
  const YamlNode* found = node(key);
  if (!found) return {};
  auto value = found->as_text();
  if (value) return *std::move(value);
  refuse(*found, value.error().message);
  return {};
}

std::optional<std::string> YamlMap::text_or_null(std::string_view key) {
  const YamlNode* found = take(key, true);
  if (!found || found->is_null()) return std::nullopt;
  return text(key);
}

std::optional<std::string> YamlMap::optional_text(std::string_view key) {
  if (!take(key, false)) return std::nullopt;
  return text(key);
}

bool YamlMap::boolean(std::string_view key) {
  const YamlNode* found = node(key);
  if (!found) return false;
  const auto value = found->as_bool();
  if (value) return *value;
  refuse(*found, value.error().message);
  return false;
}

bool YamlMap::boolean_or(std::string_view key, bool absent) { return has(key) ? boolean(key) : absent; }

int64_t YamlMap::integer(std::string_view key) {
  const YamlNode* found = node(key);
  if (!found) return 0;
  const auto value = found->as_integer();
  if (value) return *value;
  refuse(*found, value.error().message);
  return 0;
}

std::optional<int64_t> YamlMap::integer_or_null(std::string_view key) {
  const YamlNode* found = take(key, true);
  if (!found || found->is_null()) return std::nullopt;
  return integer(key);
}

std::vector<const YamlNode*> YamlMap::sequence(std::string_view key) {
  const YamlNode* found = node(key);
  if (!found) return {};
  if (found->is_sequence()) return found->items();
  refuse(*found, "expected a list");
  return {};
}

std::vector<const YamlNode*> YamlMap::optional_sequence(std::string_view key) {
  return has(key) ? sequence(key) : std::vector<const YamlNode*>{};
}

std::vector<std::string> YamlMap::texts(std::string_view key) {
  std::vector<std::string> out;
  for (const YamlNode* item : sequence(key)) {
    auto value = item->as_text();
    if (!value) {
      refuse(*item, value.error().message);
      return {};
    }
    out.push_back(*std::move(value));
  }
  return out;
}

std::vector<std::string> YamlMap::optional_texts(std::string_view key) {
  return has(key) ? texts(key) : std::vector<std::string>{};
}

void YamlMap::refuse(const YamlNode& at, std::string message) {
  if (!error_) error_ = at.error(std::move(message));
}

void YamlMap::refuse(std::string_view key, std::string message) {
  const YamlNode* found = node_.find(key);
  refuse(found ? *found : node_, std::move(message));
}

Status YamlMap::finish() {
  if (error_) return tl::unexpected(*error_);
  for (size_t i = 0; i < used_.size(); ++i)
    if (!used_[i] && i < node_.items().size())
      return tl::unexpected(node_.items()[i]->error("unknown key '" + node_.keys()[i] + "'"));
  return {};
}

}  // namespace vitrine
