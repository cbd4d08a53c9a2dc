// Compiled schemas against a slow reading of the same language, on random schemas and documents.
#include <gtest/gtest.h>

#include <functional>

#include "engine/grammar.h"
#include "tests/engine/schema_judge.h"

namespace vitrine {
namespace {

TEST(GrammarJudge, RandomSchemasAndDocuments) {
  int compiled = 0, empty = 0, refused = 0, accepted = 0, rejected = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    RandomSchema random(seed);
    const SchemaJson schema = random.schema();
    const auto grammar = compile_json_schema(schema.dump());
    if (!grammar) {
      // No text at all, or enum beside keywords for its values: nothing else is refused here.
      (grammar.error().code == ErrorCode::usage ? empty : refused)++;
      ASSERT_TRUE(grammar.error().code == ErrorCode::usage ||
                  grammar.error().message.find("beside") != std::string::npos)
          << schema << grammar.error().to_string();
    } else {
      ++compiled;
    }
    const SchemaJudge judge(schema);
    RandomDocument documents(random, schema);
    for (int i = 0; i < 40; ++i) {
      std::string text = documents.text(schema);
      if (random.one_in(10) && !text.empty())
        text[random.below(static_cast<uint32_t>(text.size()))] = random.pick<char>({'"', ',', '}', 'a', '\xC3', ' '});
      if (!grammar && grammar.error().code != ErrorCode::usage) continue;
      const bool expected = judge.accepts(text);
      const bool found = grammar && matches(**grammar, text);
      ASSERT_EQ(found, expected) << "seed " << seed << "\n" << schema << "\n" << text;
      (found ? accepted : rejected)++;
    }
  }
  std::printf("%d schemas (%d of nothing, %d refused); documents: %d in, %d out\n", compiled, empty, refused, accepted,
              rejected);
  // Both sides of the line are crossed often, or the comparison says little.
  EXPECT_GT(compiled, 3000);
  EXPECT_GT(accepted, 20000);
  EXPECT_GT(rejected, 20000);
}

}  // namespace
}  // namespace vitrine
