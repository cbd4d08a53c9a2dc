// The tree of data types (policies/taxonomy.yaml, policies/README.md section 1).
// Immutable after loading; shared by all threads.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/value_checks.h"
#include "base/result.h"
#include "capture/field.h"

namespace vitrine {

// How a value of a type is printed (audit/masking.h).
enum class Sensitivity : uint8_t { plain, id, secret, content, ip };
std::string_view to_string(Sensitivity sensitivity);

struct TaxonomyNode {
  std::string id;      // "device.os-version"
  TypeId broader = 0;  // 0 for a root
  std::string definition, positive, negative;
  std::optional<std::string> dpv, fideslang;
  bool personal = false;
  Sensitivity sensitivity = Sensitivity::plain;
  std::vector<std::string> trackhar;
  int line = 0;  // in the file
};

// The type a value check stands for, and how sure its form makes it.
struct CheckBinding {
  TypeId type = 0;  // 0: the check decides no type by itself
  Observation observation = Observation::none;
};

class Taxonomy {
 public:
  static Result<Taxonomy> load(const std::string& path);
  static Result<Taxonomy> parse(std::string_view text, const std::string& file);

  TypeId find(std::string_view id) const;  // 0 when there is no such node
  std::string_view id(TypeId type) const;  // "" for 0
  // REQUIRES: 1 <= type <= size(). Types are numbered from 1 in file order.
  const TaxonomyNode& node(TypeId type) const { return nodes_[type - 1u]; }
  size_t size() const { return nodes_.size(); }

  // Whether `type` is `ancestor` or narrower, along `broader`. False for 0.
  bool covers(TypeId ancestor, TypeId type) const {
    if (ancestor == 0 || type == 0) return false;
    const Span& a = spans_[ancestor - 1u];
    const Span& t = spans_[type - 1u];
    return a.first <= t.first && t.first < a.end;
  }

  const CheckBinding& binding(ValueCheck check) const { return bindings_[static_cast<size_t>(check)]; }

 private:
  // Position in a walk of the tree, parents first: a subtree is one interval.
  struct Span {
    uint32_t first = 0, end = 0;
  };
  Status number_the_tree(const std::string& file);

  std::vector<TaxonomyNode> nodes_;
  std::vector<Span> spans_;
  std::map<std::string, TypeId, std::less<>> by_id_;
  std::array<CheckBinding, kValueChecks> bindings_{};
};

}  // namespace vitrine
