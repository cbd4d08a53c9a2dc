// Origins, replayed: the pure function behind every step of a chain. What a
// field's chain gives is the field's value (or begins with it, when it was cut).
#pragma once

#include <string>

#include "base/result.h"
#include "capture/exchange.h"
#include "capture/origin.h"

namespace vitrine {

// The output of one step: `decoder` applied to [offset, offset + length) of
// what its parent gave. Content codings, permessage_deflate, websocket, latin1
// and base64 with length 0 take the whole parent (steps a part names without spans). Errors: a span outside the parent
// (malformed), bytes the decoder refuses (malformed), and hpack and
// permessage_deflate (unsupported), whose state is their connection's: replay
// those with the part at hand (below).
//   json        a value: strings unescaped (a missing closing quote is a cut string), others as they are
//   form, query percent- and plus-decoded
//   jwt         base64url of one segment
//   websocket   frames, headers included: the unmasked payloads
//   har, exchange_log   a JSON string in the file: unescaped; anything else as it is
//   stream, http1_head, request_target, cookie, set_cookie, multipart, text,
//   grpc_web, connect_envelope, tls_hello, dns, connection: the bytes as they are
// Output is bounded by `max_output` (decompression).
Result<std::string> replay_step(Decoder decoder, Bytes parent_output, uint64_t offset, uint64_t length,
                                uint64_t max_output = 256ull << 20);

// A whole chain, for a part that is at hand in a second run: `pieces` are the
// part's bytes in the plaintext stream, joined in order. hpack roots take their
// value from part.headers, permessage_deflate its message from part.content,
// request_target roots their text from the exchange ("METHOD target"), and har
// and exchange_log roots that are lists (parameters, cookies) the text that was
// composed of them.
// REQUIRES: `id` was added to `table` during this part.
Result<std::string> replay_chain(const OriginTable& table, OriginId id, const Exchange& exchange, const Part& part,
                                 Bytes pieces);

}  // namespace vitrine
