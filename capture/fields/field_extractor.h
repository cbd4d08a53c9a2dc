// Exchange parts → Fields. Opens values in values until nothing more opens.
#pragma once

#include <memory>

#include "capture/exchange.h"
#include "capture/field.h"

namespace vitrine {

struct ExtractLimits {
  uint32_t depth = 16;                   // nested decoders per value
  uint64_t fields_per_exchange = 4'000'000;
  uint64_t decoded_bytes_per_part = 256ull << 20;  // sum of all decoder outputs
  uint32_t json_depth = 512;
  uint32_t value_bytes = 1u << 20;       // of one emitted value; longer ones are cut (Field::cut)
  uint32_t patterns = 200'000;           // interned path patterns per shard
};

// One per shard. Fields of the connection itself (addresses, SNI, JA3/JA4,
// ALPN offered, DNS names) are emitted under exchange ordinal 0.
class FieldExtractor : public ExchangeSink {
 public:
  FieldExtractor(FieldSink& fields, ExtractLimits limits = {});
  ~FieldExtractor() override;
  void connection(const ConnectionInfo&, ConnectionEvent) override;
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;

  // Bytes of the exchange's stream (per direction) that ended opaque so far;
  // subset of Message::bytes[decoded]. Valid from part() until after closed() of that exchange.
  uint64_t opaque_bytes(const Exchange&, Direction) const;
  // Nodes of the exchange's origins; valid while it is open and during closed().
  const OriginTable* origins(const ExchangeId&) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
