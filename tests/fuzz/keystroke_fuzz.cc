// Keystroke and draft detection over arbitrary fields. The input is lines of
// "path<TAB>value"; a line that begins with '!' ends the part.
#include <cstdint>
#include <string>

#include "audit/draft_detector.h"
#include "audit/keystroke_detector.h"
#include "audit/keystroke_shapes.h"
#include "audit/masking.h"
#include "audit/value_checks.h"

namespace {

using namespace vitrine;

const Taxonomy& taxonomy() {
  static const Taxonomy made = *Taxonomy::parse(
      "taxonomy: 1\nnodes:\n"
      "  - {id: behaviour.keystroke-dynamics, broader: null, definition: d, positive: p, negative: n, dpv: null,"
      " fideslang: null, personal: true, sensitivity: content}\n"
      "  - {id: behaviour.activity-timing, broader: null, definition: d, positive: p, negative: n, dpv: null,"
      " fideslang: null, personal: true, sensitivity: plain}\n"
      "  - {id: content.draft, broader: null, definition: d, positive: p, negative: n, dpv: null, fideslang: null,"
      " personal: true, sensitivity: content}\n",
      "fuzz");
  return made;
}

struct Drop : FieldSink, DraftSink {
  void field(const Field& f) override {
    if (f.decided_by == "detector:keystroke" && (f.value.empty() || f.type == 0)) __builtin_trap();
  }
  void draft(DraftObservation o) override {
    if (o.steps < 3 || o.evidence.size() > 32) __builtin_trap();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  judge_text(text, "kbio");
  Drop drop;
  KeystrokeDetector detector(taxonomy(), drop);
  DraftDetector drafts(taxonomy(), drop);
  Exchange exchange;
  Part part;
  detector.begin_part(exchange, part);
  int64_t now = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('!')) {
      detector.end_part(exchange, part);
      detector.begin_part(exchange, part);
      continue;
    }
    const size_t tab = line.find('\t');
    if (tab == std::string_view::npos) continue;
    Field field;
    field.exchange = &exchange;
    field.location = Location::body;
    field.path = line.substr(0, tab);
    field.value = line.substr(tab + 1);
    const bool number =
        !field.value.empty() && (field.value[0] == '-' || (field.value[0] >= '0' && field.value[0] <= '9'));
    field.value_type = number ? ValueType::number : ValueType::string;
    detector.field(field);
    const CheckSet found = detect(field.value, ValueType::string);
    for (size_t c = 0; c < kValueChecks; ++c)
      if (found.has(static_cast<ValueCheck>(c)) && !holds(static_cast<ValueCheck>(c), field.value, ValueType::string))
        __builtin_trap();
    for (Sensitivity s : {Sensitivity::plain, Sensitivity::id, Sensitivity::ip, Sensitivity::content})
      if (mask(field.value, s).size() > 256) __builtin_trap();
    if (is_draft_candidate(field)) {
      now += 200'000'000;
      DraftSample sample;
      sample.time = {now};
      sample.pattern = field.path;
      sample.value = field.value;
      const std::string endpoint = endpoint_path(field.value);
      sample.endpoint = "/";
      drafts.sample(sample);
    }
  }
  detector.end_part(exchange, part);
  drafts.finish();
  return 0;
}
