#include "audit/draft_detector.h"

#include <algorithm>
#include <list>
#include <unordered_map>

#include "audit/value_checks.h"

namespace vitrine {
namespace {

constexpr size_t kMaxKeys = 1024;
constexpr size_t kMaxValue = 4096;
constexpr size_t kMaxCandidate = 2048;
constexpr size_t kMaxGrowth = 20;        // characters of one step
constexpr int64_t kMinGap = 50'000'000;  // ns
constexpr int64_t kMaxGap = 3'000'000'000;
constexpr int64_t kMaxPause = 30'000'000'000;
constexpr double kFastest = 25;  // characters a second; records are near 20
constexpr uint32_t kMinSteps = 3;
constexpr size_t kEvidence = 16;  // of each end
constexpr size_t kMaxGaps = 512;

bool digit(char c) { return c >= '0' && c <= '9'; }
bool continuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

size_t characters(std::string_view s) {
  return static_cast<size_t>(std::count_if(s.begin(), s.end(), [](char c) { return !continuation(c); }));
}

bool is_separator(char c) {
  return c == ',' || c == ';' || c == '|' || c == '>' || c == '&' || c == '\n' || c == '\t' || c == '/';
}

// How one value became the next: what was removed and inserted at one place.
struct Change {
  std::string_view removed, inserted;
  bool at_end = false;
};
Change change_between(std::string_view a, std::string_view b) {
  size_t front = 0;
  while (front < a.size() && front < b.size() && a[front] == b[front]) ++front;
  // Whole characters only: an input method replaces a syllable, not a byte.
  while (front > 0 && ((front < a.size() && continuation(a[front])) || (front < b.size() && continuation(b[front]))))
    --front;
  size_t back = 0;
  while (back < a.size() - front && back < b.size() - front && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  while (back > 0 && ((back < a.size() && continuation(a[a.size() - back])) ||
                      (back < b.size() && continuation(b[b.size() - back]))))
    --back;
  return {a.substr(front, a.size() - front - back), b.substr(front, b.size() - front - back), back == 0};
}

bool is_id_segment(std::string_view s) {
  if (s.empty()) return false;
  if (std::all_of(s.begin(), s.end(), digit)) return true;
  const CheckSet checks = detect(s, ValueType::string);
  for (ValueCheck check :
       {ValueCheck::uuid, ValueCheck::high_entropy_token, ValueCheck::email, ValueCheck::jwt, ValueCheck::phone_e164,
        ValueCheck::ipv4_public, ValueCheck::ipv4_private, ValueCheck::ipv6, ValueCheck::mac})
    if (checks.has(check)) return true;
  if (s.find("%40") != std::string_view::npos) return true;  // an e-mail address
  const auto hexes = std::count_if(s.begin(), s.end(), [](char c) { return digit(c) || (c >= 'a' && c <= 'f'); });
  return s.size() >= 12 && static_cast<size_t>(hexes) == s.size() && std::any_of(s.begin(), s.end(), digit);
}

}  // namespace

bool is_draft_candidate(const Field& field) {
  if (field.direction != Direction::client_to_server || field.value_type != ValueType::string || field.cut ||
      field.opaque || field.withheld)
    return false;
  if (field.location != Location::query && field.location != Location::body && field.location != Location::frame)
    return false;
  const std::string_view value = field.value;
  if (value.empty() || value.size() > kMaxCandidate) return false;
  // A rule has said that this is no data, or what machine-made value it is.
  if (field.type == 0 && !field.decided_by.empty()) return false;
  bool letter = false;
  for (char c : value) {
    letter |= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<uint8_t>(c) >= 0x80;
    if (c == 0) return false;
  }
  if (!letter) return false;
  // Elements of lists other than the first belong to something else that grows.
  for (size_t at = field.path.find('/'); at != std::string_view::npos; at = field.path.find('/', at + 1)) {
    size_t end = at + 1;
    while (end < field.path.size() && digit(field.path[end])) ++end;
    const bool index = end > at + 1 && (end == field.path.size() || field.path[end] == '/' || field.path[end] == '|');
    if (index && !(end == at + 2 && field.path[at + 1] == '0')) return false;
  }
  if (value.size() < 8) return true;
  const CheckSet checks = detect(value, ValueType::string);
  for (ValueCheck check :
       {ValueCheck::uuid, ValueCheck::iso_datetime, ValueCheck::epoch_ms, ValueCheck::high_entropy_token,
        ValueCheck::jwt, ValueCheck::ipv4_public, ValueCheck::ipv4_private, ValueCheck::ipv6, ValueCheck::mac,
        ValueCheck::user_agent, ValueCheck::timezone_iana, ValueCheck::url})
    if (checks.has(check)) return false;
  return true;
}

std::string endpoint_path(std::string_view path) {
  path = path.substr(0, std::min(path.find('?'), path.size()));
  std::string out;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(path[0] == '/' ? 1 : 0, end - (path[0] == '/' ? 1 : 0));
    if (path[0] == '/') out.push_back('/');
    out.append(is_id_segment(segment) ? std::string_view("*") : segment);
    path.remove_prefix(end);
    if (out.size() > 1024) break;
  }
  return out;
}

struct DraftDetector::State {
  struct Chain {
    std::string key, value;
    DraftObservation found;
    Timestamp at;                         // of the last sample
    uint32_t counted = 0, separated = 0;  // growing steps; those that look like list items
    std::vector<int64_t> gaps;
    std::vector<uint8_t> growths;
    std::vector<OriginRef> head, tail;
  };

  State(const Taxonomy& taxonomy, DraftSink& out) : sink(out), type(taxonomy.find("content.draft")) {}

  void begin(Chain& chain, const DraftSample& sample);
  bool follow(Chain& chain, const DraftSample& sample);
  void close(Chain& chain);
  void remember(Chain& chain, const DraftSample& sample);

  DraftSink& sink;
  TypeId type;
  std::list<Chain> chains;  // most recently used first
  std::unordered_map<std::string, std::list<Chain>::iterator> by_key;
  std::string key;
};

void DraftDetector::State::remember(Chain& chain, const DraftSample& sample) {
  ++chain.found.samples;
  chain.found.longest = std::max(chain.found.longest, static_cast<uint32_t>(characters(sample.value)));
  if (chain.head.size() < kEvidence) {
    chain.head.push_back(sample.origin);
  } else {
    if (chain.tail.size() == kEvidence) chain.tail.erase(chain.tail.begin());
    chain.tail.push_back(sample.origin);
  }
  chain.found.last = chain.at = sample.time;
  chain.found.last_packet = sample.packet;
  chain.value.assign(sample.value.substr(0, kMaxValue));
}

void DraftDetector::State::begin(Chain& chain, const DraftSample& sample) {
  chain.found = {};
  chain.found.first = sample.time;
  chain.found.first_packet = sample.packet;
  chain.found.client = sample.client;
  chain.found.host = sample.host;
  chain.found.method = sample.method;
  chain.found.endpoint = sample.endpoint;
  chain.found.pattern = sample.pattern;
  chain.counted = chain.separated = 0;
  chain.gaps.clear();
  chain.growths.clear();
  chain.head.clear();
  chain.tail.clear();
  remember(chain, sample);
}

// False when `sample` does not go on from what the chain holds.
bool DraftDetector::State::follow(Chain& chain, const DraftSample& sample) {
  const int64_t gap = sample.time.ns - chain.at.ns;
  if (gap < 0 || gap > kMaxPause) return false;
  const std::string_view value = sample.value.substr(0, kMaxValue);
  if (value == chain.value) return true;  // a retry: neither a step nor an end
  const Change change = change_between(chain.value, value);
  const size_t removed = characters(change.removed), inserted = characters(change.inserted);
  const bool known = chain.counted >= kMinSteps;
  // Something else was written, or the text was cleared and begun anew.
  const size_t kept = characters(chain.value) - removed;
  if (kept == 0 && removed > 1) return false;
  if (removed > kMaxGrowth) return false;
  if (inserted > kMaxGrowth) {
    if (!known || gap > kMaxGap) return false;
    remember(chain, sample);  // a paste
    return true;
  }
  const bool grows = inserted > removed;
  const bool timed = gap >= kMinGap && gap <= kMaxGap;
  const double rate = static_cast<double>(inserted) / (static_cast<double>(std::max<int64_t>(gap, 1)) / 1e9);
  if (grows && timed && rate <= kFastest) {
    ++chain.counted;
    const std::string_view text = change.inserted;
    chain.separated += inserted > 1 && (is_separator(text.front()) || is_separator(text.back()));
    if (chain.gaps.size() < kMaxGaps) {
      chain.gaps.push_back(gap);
      chain.growths.push_back(static_cast<uint8_t>(inserted - removed));
    }
  }
  remember(chain, sample);
  return true;
}

void DraftDetector::State::close(Chain& chain) {
  if (chain.counted < kMinSteps || chain.separated * 5 >= chain.counted * 4 || type == 0) return;
  DraftObservation& out = chain.found;
  std::nth_element(chain.gaps.begin(), chain.gaps.begin() + static_cast<ptrdiff_t>(chain.gaps.size() / 2),
                   chain.gaps.end());
  std::nth_element(chain.growths.begin(), chain.growths.begin() + static_cast<ptrdiff_t>(chain.growths.size() / 2),
                   chain.growths.end());
  const unsigned growth = chain.growths[chain.growths.size() / 2];
  out.steps = chain.counted;
  out.median_gap_ms = chain.gaps[chain.gaps.size() / 2] / 1'000'000;
  out.type = type;
  out.decided_by = "detector:draft";
  out.observation = chain.counted >= 5 && growth <= 4 ? Observation::certain : Observation::probable;
  out.evidence = chain.head;
  out.evidence.insert(out.evidence.end(), chain.tail.begin(), chain.tail.end());
  out.sentence = std::to_string(out.samples) + " requests carried one text as it grew in " + std::to_string(out.steps) +
                 " steps to " + std::to_string(out.longest) + " characters, median " + std::to_string(growth) +
                 " characters and " + std::to_string(out.median_gap_ms) + " ms a step";
  sink.draft(std::move(out));
}

DraftDetector::DraftDetector(const Taxonomy& taxonomy, DraftSink& sink)
    : state_(std::make_unique<State>(taxonomy, sink)) {}
DraftDetector::~DraftDetector() = default;

void DraftDetector::sample(const DraftSample& sample) {
  State& state = *state_;
  if (sample.value.empty() || sample.value.size() > kMaxCandidate) return;
  state.key.assign(reinterpret_cast<const char*>(sample.client.bytes.data()), sample.client.bytes.size());
  for (std::string_view part : {sample.host, sample.method, sample.endpoint, sample.pattern}) {
    state.key.append(part.substr(0, 1024));
    state.key.push_back('\n');
  }
  if (const auto known = state.by_key.find(state.key); known != state.by_key.end()) {
    state.chains.splice(state.chains.begin(), state.chains, known->second);
    State::Chain& chain = state.chains.front();
    if (state.follow(chain, sample)) return;
    state.close(chain);
    state.begin(chain, sample);
    return;
  }
  if (state.chains.size() == kMaxKeys) {
    state.close(state.chains.back());
    state.by_key.erase(state.chains.back().key);
    state.chains.pop_back();
  }
  state.chains.emplace_front();
  state.chains.front().key = state.key;
  state.by_key.emplace(state.key, state.chains.begin());
  state.begin(state.chains.front(), sample);
}

void DraftDetector::finish() {
  // In the order of their first packet, so that the output does not depend on
  // how the window was used.
  std::vector<State::Chain*> open;
  for (State::Chain& chain : state_->chains) open.push_back(&chain);
  std::sort(open.begin(), open.end(), [](const auto* a, const auto* b) {
    return std::pair(a->found.first_packet, std::string_view(a->key)) <
           std::pair(b->found.first_packet, std::string_view(b->key));
  });
  for (State::Chain* chain : open) state_->close(*chain);
  state_->chains.clear();
  state_->by_key.clear();
}

}  // namespace vitrine
