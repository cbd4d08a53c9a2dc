#include "capture/pipeline/replay_streams.h"

#include <algorithm>

namespace vitrine {

SpanBytes::SpanBytes(const std::vector<StreamSpan>& spans) {
  for (const StreamSpan& span : spans) {
    parts_.push_back({span, std::string(std::min(span.length, kReplayBound), '\0'), 0});
    begin_ = std::min(begin_, span.offset);
    end_ = std::max(end_, span.offset + parts_.back().bytes.size());
  }
}

bool SpanBytes::complete() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.filled == part.span.length; });
}

std::string SpanBytes::joined() const {
  std::string out;
  for (const Part& part : parts_) out += part.bytes;
  return out;
}

namespace {

std::multimap<FlowId, StreamPlace*> by_flow(std::vector<StreamPlace>& places) {
  std::multimap<FlowId, StreamPlace*> out;
  for (StreamPlace& place : places) out.emplace(place.flow, &place);
  return out;
}

}  // namespace

PlaintextCollector::PlaintextCollector(std::vector<StreamPlace>& places) : places_(by_flow(places)) {
  for (StreamPlace& place : places) place.plain = SpanBytes(place.pieces);
}

void PlaintextCollector::plaintext(const ConnectionInfo& info, const StreamChunk& chunk, StreamSpan record) {
  if (chunk.kind != StreamChunk::Kind::data) return;
  const auto [first, last] = places_.equal_range({info.id, chunk.direction});
  for (auto it = first; it != last; ++it) {
    StreamPlace& place = *it->second;
    place.plain.take(chunk.offset, chunk.bytes, [&](StreamSpan used) {
      // Without TLS the "record" is the chunk; only the bytes used matter then.
      const StreamSpan span = info.tls ? record : used;
      if (place.records.empty() || place.records.back() != span) place.records.push_back(span);
    });
  }
}

void PlaintextCollector::handshake(const ConnectionInfo& info, Direction direction,
                                   const tls::HandshakeMessage& message) {
  const auto wanted = handshakes_.find({info.id, direction});
  if (wanted == handshakes_.end()) return;
  wanted->second.push_back({message.type, message.span, {message.body.begin(), message.body.end()}});
}

void PlaintextCollector::finish() {
  for (auto& [flow, place] : places_) {
    std::vector<StreamSpan>& records = place->records;
    std::sort(records.begin(), records.end());
    records.erase(std::unique(records.begin(), records.end()), records.end());
  }
}

RawCollector::RawCollector(std::vector<StreamPlace>& places) : places_(by_flow(places)) {
  for (StreamPlace& place : places) place.raw = SpanBytes(place.records);
}

void RawCollector::raw(const ConnectionInfo& info, const StreamChunk& chunk) {
  if (chunk.kind != StreamChunk::Kind::data) return;
  const FlowId flow{info.id, chunk.direction};
  const auto [first, last] = places_.equal_range(flow);
  if (first == last) return;
  first_.try_emplace(flow, First{chunk.offset, chunk.packet});
  for (auto it = first; it != last; ++it) it->second->raw.take(chunk.offset, chunk.bytes, [](StreamSpan) {});
}

std::optional<RawCollector::First> RawCollector::first(FlowId flow) const {
  const auto found = first_.find(flow);
  if (found == first_.end()) return std::nullopt;
  return found->second;
}

}  // namespace vitrine
