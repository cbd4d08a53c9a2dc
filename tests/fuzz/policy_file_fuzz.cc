// Policy, rule, recipient, region, context, taxonomy and client files, through
// their readers.
// The first byte chooses the reader, so that one corpus serves all.
#include <cstdint>
#include <string_view>

#include "audit/client_rules.h"
#include "audit/context.h"
#include "audit/policy.h"
#include "audit/recipient.h"
#include "audit/regions.h"
#include "audit/rules.h"

namespace {

const vitrine::Taxonomy& taxonomy() {
  static const vitrine::Taxonomy tree = [] {
    auto parsed = vitrine::Taxonomy::parse(
        "taxonomy: 1\nnodes:\n"
        "  - {id: device, broader: null, definition: x, positive: x, negative: x, dpv: null, fideslang: null, "
        "personal: true, sensitivity: plain}\n"
        "  - {id: device.model, broader: device, definition: x, positive: x, negative: x, dpv: null, fideslang: null, "
        "personal: true, sensitivity: plain}\n",
        "taxonomy");
    return parsed ? std::move(*parsed) : vitrine::Taxonomy{};
  }();
  return tree;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 7) {
    case 0:
      if (auto policy = vitrine::parse_policy(text, "fuzz.yaml", taxonomy())) {
        (void)vitrine::lint_policy(*policy, {}, {}, text);
      }
      break;
    case 1: (void)vitrine::parse_rules(text, "fuzz.yaml", taxonomy()); break;
    case 2: {
      vitrine::RecipientDirectory directory;
      if (directory.add(text, "fuzz.yaml")) (void)directory.check();
      break;
    }
    case 3: (void)vitrine::Regions::parse(text, "fuzz.yaml"); break;
    case 4: (void)vitrine::parse_context(text, "fuzz.yaml"); break;
    case 5: (void)vitrine::Taxonomy::parse(text, "fuzz.yaml"); break;
    case 6: (void)vitrine::ClientRules::parse({{std::string(text), "fuzz.yaml"}}, taxonomy()); break;
  }
  return 0;
}
