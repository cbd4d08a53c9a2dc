#include "capture/fields/replay.h"

#include <algorithm>
#include <vector>

#include "base/json_tokenizer.h"
#include "base/text.h"
#include "capture/fields/byte_lists.h"
#include "capture/fields/codecs.h"
#include "capture/http/content_coding.h"

namespace vitrine {
namespace {

bool takes_whole_parent(Decoder decoder) {
  switch (decoder) {
    case Decoder::gzip:
    case Decoder::zlib:
    case Decoder::deflate:
    case Decoder::br:
    case Decoder::zstd:
    case Decoder::websocket:
    case Decoder::permessage_deflate:
    case Decoder::latin1:
    case Decoder::base64: return true;
    default: return false;
  }
}

std::string json_value(std::string_view text) {
  if (text.empty() || text.front() != '"') return std::string(text);
  JsonTokenizer json(text, 1);
  JsonToken token;
  std::string scratch;
  if (!json.next(token)) return std::string(text);
  return std::string(unescaped(token, scratch));
}

// RFC 6455 section 5.2: the payloads of a message's frames.
Result<std::string> websocket_payload(Bytes frames) {
  std::string out;
  ByteReader reader(frames);
  while (!reader.empty()) {
    reader.u8();
    const uint8_t second = reader.u8();
    uint64_t length = second & 0x7f;
    if (length == 126) length = reader.u16();
    if (length == 127) length = reader.u64();
    const Bytes mask = reader.take((second & 0x80) != 0 ? 4 : 0);
    const Bytes payload = reader.take(std::min<uint64_t>(length, reader.remaining()));
    if (reader.failed()) return fail(ErrorCode::malformed, "a WebSocket frame ends inside its header");
    for (size_t i = 0; i < payload.size(); ++i) {
      out.push_back(static_cast<char>(mask.empty() ? payload[i] : payload[i] ^ mask[i % 4]));
    }
  }
  return out;
}

}  // namespace

Result<std::string> replay_step(Decoder decoder, Bytes parent_output, uint64_t offset, uint64_t length,
                                uint64_t max_output) {
  if (length == 0 && offset == 0 && takes_whole_parent(decoder)) length = parent_output.size();
  const auto span = slice(parent_output, offset, length);
  if (!span) return fail(ErrorCode::malformed, "an origin's span lies outside what it is a span of");
  const std::string_view text = as_text(*span);
  const auto refused = [&] {
    return fail(ErrorCode::malformed, "the bytes are not " + std::string(to_string(decoder)));
  };
  std::string out;
  switch (decoder) {
    case Decoder::gzip:
    case Decoder::zlib:
    case Decoder::deflate:
    case Decoder::br:
    case Decoder::zstd: {
      Inflated inflated = decompress(decoder, *span, max_output);
      if (inflated.bytes.empty() && !inflated.complete) return refused();
      return std::move(inflated.bytes);
    }
    case Decoder::percent: percent_decode(text, false, out); return out;
    case Decoder::form:
    case Decoder::query: percent_decode(text, true, out); return out;
    case Decoder::latin1:
      if (!latin1_bytes(text, out)) return refused();
      return out;
    case Decoder::base64:
      if (!base64_decode(text, false, out)) return refused();
      return out;
    case Decoder::base64url:
    case Decoder::jwt:
      if (!base64_decode(text, true, out)) return refused();
      return out;
    case Decoder::hex:
      if (!hex_decode(text, out)) return refused();
      return out;
    case Decoder::sse: sse_data(text, out); return out;
    case Decoder::json:
    case Decoder::har:
    case Decoder::exchange_log: return json_value(text);
    case Decoder::websocket: return websocket_payload(*span);
    case Decoder::byte_list:
      if (text.empty() || !byte_list_decode(text, out)) return refused();
      return out;
    case Decoder::joined:
      if (text.empty() || !text_list_join(text, out)) return refused();
      return out;
    case Decoder::hpack:
    case Decoder::permessage_deflate:
      return fail(ErrorCode::unsupported,
                  std::string(to_string(decoder)) + " depends on what its connection carried before");
    case Decoder::stream:
    case Decoder::http1_head:
    case Decoder::request_target:
    case Decoder::cookie:
    case Decoder::set_cookie:
    case Decoder::multipart:
    case Decoder::text:
    case Decoder::tls_hello:
    case Decoder::dns:
    case Decoder::connection:
    case Decoder::grpc_web:
    case Decoder::connect_envelope: return std::string(text);
  }
  return fail(ErrorCode::internal, "an origin has an unknown decoder");
}

Result<std::string> replay_chain(const OriginTable& table, OriginId id, const Exchange& exchange, const Part& part,
                                 Bytes pieces) {
  std::vector<OriginId> chain;
  for (OriginId at = id;; at = table[at].parent) {
    if (at >= table.size()) return fail(ErrorCode::malformed, "no such origin node");
    chain.push_back(at);
    if (table[at].root) break;
    if (table[at].parent >= at) return fail(ErrorCode::malformed, "an origin chain does not end in a root");
  }
  std::string output;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    const OriginNode& node = table[*it];
    if (node.decoder == Decoder::hpack) {
      const auto field = std::find_if(part.headers.begin(), part.headers.end(), [&](const HeaderField& header) {
        return header.offset == node.offset && header.length == node.length;
      });
      if (field == part.headers.end()) return fail(ErrorCode::malformed, "no header field has this HPACK origin");
      output.assign(field->value);
      continue;
    }
    if (node.decoder == Decoder::permessage_deflate) {
      output.assign(as_text(part.content));
      continue;
    }
    if (node.root && (node.decoder == Decoder::har || node.decoder == Decoder::exchange_log)) {
      // Files that list a form's parameters or a jar's cookies instead of the text
      // that was sent: their reader composed it.
      const auto span = slice(pieces, node.offset, node.length);
      if (span && (span->empty() || span->front() != '"')) {
        const auto field = std::find_if(part.headers.begin(), part.headers.end(), [&](const HeaderField& header) {
          return header.offset == node.offset && header.length == node.length;
        });
        output.assign(field != part.headers.end() ? field->value : as_text(part.content));
        continue;
      }
    }
    std::string request_line;
    Bytes input = node.root ? pieces : as_bytes(output);
    if (node.root && node.decoder == Decoder::request_target) {
      request_line = exchange.method + " " + exchange.path;
      input = as_bytes(request_line);
    }
    auto step = replay_step(node.decoder, input, node.offset, node.length);
    if (!step) return step;
    output = std::move(*step);
  }
  return output;
}

}  // namespace vitrine
