// Strict YAML for the files under policies/ (policies/README.md): every error
// names file, line and key; unknown and duplicate keys, anchors, aliases and
// tags are refused. Nothing throws: yaml-cpp stays behind parse().
//
//   auto document = YamlDocument::parse(text, "policies/taxonomy.yaml");
//   YamlMap map(document->root());
//   auto id = map.text("id");
//   for (const YamlNode* child : map.sequence("nodes")) ...
//   if (auto done = map.finish(); !done) return tl::unexpected(done.error());
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vitrine {

struct YamlLimits {
  uint64_t bytes = 8u << 20;  // of the text
  uint32_t depth = 24;        // nested containers
  uint32_t nodes = 400'000;   // containers and scalars together
};

// One node of a parsed document. Owned by its YamlDocument.
class YamlNode {
 public:
  enum class Kind : uint8_t { null, scalar, sequence, map };

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_scalar() const { return kind_ == Kind::scalar; }
  bool is_sequence() const { return kind_ == Kind::sequence; }
  bool is_map() const { return kind_ == Kind::map; }
  int line() const { return line_; }                                    // 1-based
  const std::string& scalar() const { return scalar_; }                 // text of a scalar, quotes removed
  bool plain() const { return plain_; }                                 // scalar without quotes
  const std::vector<const YamlNode*>& items() const { return items_; }  // of a sequence; values of a map
  const std::vector<std::string>& keys() const { return keys_; }        // of a map, in file order
  const YamlNode* find(std::string_view key) const;                     // of a map, or nullptr
  std::string where() const;                                            // "FILE:12, key statements[3].quote"
  Error error(std::string message) const { return Error{ErrorCode::malformed, std::move(message), where()}; }

  // Conversions of a scalar, with an error that says what was expected.
  Result<std::string> as_text() const;
  Result<bool> as_bool() const;        // plain true / false
  Result<int64_t> as_integer() const;  // plain decimal
  Result<double> as_real() const;      // plain decimal number

 private:
  friend class YamlBuilder;
  Kind kind_ = Kind::null;
  bool plain_ = false;
  int line_ = 0;
  std::string scalar_;
  std::vector<const YamlNode*> items_;
  std::vector<std::string> keys_;
  const YamlNode* parent_ = nullptr;
  size_t index_ = 0;  // among the parent's items
  std::shared_ptr<const std::string> file_;
};

class YamlDocument {
 public:
  // `file` is only printed. Exactly one document; an empty text is an error.
  static Result<YamlDocument> parse(std::string_view text, const std::string& file, YamlLimits limits = {});
  static Result<YamlDocument> load(const std::string& path, YamlLimits limits = {});

  const YamlNode& root() const { return *root_; }

 private:
  friend class YamlBuilder;
  std::vector<std::unique_ptr<YamlNode>> nodes_;
  const YamlNode* root_ = nullptr;
};

// Reads the keys of one map. The first failure is kept; reads after it return
// empty values, so that a caller checks once, with finish(), which also refuses
// keys that were never asked for. REQUIRES: the document outlives it.
class YamlMap {
 public:
  explicit YamlMap(const YamlNode& node);

  bool has(std::string_view key) const;                 // present, null included; counts as asked for only when read
  const YamlNode* node(std::string_view key);           // required, any kind but null
  const YamlNode* optional_node(std::string_view key);  // nullptr when absent or null

  std::string text(std::string_view key);                          // required
  std::optional<std::string> text_or_null(std::string_view key);   // required; null allowed
  std::optional<std::string> optional_text(std::string_view key);  // may be absent; null refused
  bool boolean(std::string_view key);
  bool boolean_or(std::string_view key, bool absent);
  int64_t integer(std::string_view key);
  std::optional<int64_t> integer_or_null(std::string_view key);
  // Items of a required sequence (may be empty); of one that may be absent.
  std::vector<const YamlNode*> sequence(std::string_view key);
  std::vector<const YamlNode*> optional_sequence(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  std::vector<std::string> optional_texts(std::string_view key);

  // One of a closed list of words; the error names the value and the list.
  template <class T>
  T choice(std::string_view key, std::span<const std::pair<std::string_view, T>> words) {
    const YamlNode* found = node(key);
    return found ? choose(*found, words) : T{};
  }
  template <class T>
  T choose(const YamlNode& value, std::span<const std::pair<std::string_view, T>> words) {
    std::string allowed;
    for (const auto& [word, result] : words) {
      if (value.is_scalar() && value.scalar() == word) return result;
      allowed.append(allowed.empty() ? "" : ", ").append(word);
    }
    refuse(value, (value.is_scalar() ? "unknown value '" + value.scalar() + "'" : "expected a word") +
                      "; allowed: " + allowed);
    return T{};
  }

  // Records a failure of the caller's own checks (unless one is already held).
  void refuse(const YamlNode& at, std::string message);
  void refuse(std::string_view key, std::string message);  // at the key's value, or at the map

  bool failed() const { return error_.has_value(); }
  Status finish();  // the first failure, or the first unknown key

 private:
  const YamlNode* take(std::string_view key, bool required);

  const YamlNode& node_;
  std::vector<bool> used_;
  std::optional<Error> error_;
};

}  // namespace vitrine
