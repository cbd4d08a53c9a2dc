// The strict YAML reader, and the two files classification reads through it.
#include <cstdint>

#include "audit/yaml_reader.h"

namespace {

// Walks the tree as a reader of policy files does.
size_t walk(const vitrine::YamlNode& node) {
  size_t seen = 1 + node.where().size();
  (void)node.as_text();
  (void)node.as_bool();
  (void)node.as_integer();
  (void)node.as_real();
  for (const vitrine::YamlNode* item : node.items()) seen += walk(*item);
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document =
      vitrine::YamlDocument::parse(text, "fuzz.yaml", {.bytes = 1 << 16, .depth = 24, .nodes = 20'000});
  if (document) walk(document->root());
  return 0;
}
