#include "audit/sentences.h"

#include <algorithm>

namespace vitrine {
namespace {

// Sorted by id: looked up by binary search, and tested for it.
constexpr SentenceText kCatalogue[] = {
    {"context.assumed.account", "The kind of account was not stated; texts for every kind were used.",
     "계정 종류가 명시되지 않아 모든 종류의 계정에 대한 문서를 사용했습니다."},
    {"context.assumed.country",
     "The user's country was not stated; what the texts say differently for some countries, and rules that need one, "
     "are not testable.",
     "사용자의 국가가 명시되지 않아 국가에 따라 문서 내용이 다른 항목과 국가가 필요한 규칙은 판정할 수 없습니다."},
    {"context.assumed.language",
     "The user's language was not stated; where a text is held in several, English was used.",
     "사용자의 언어가 명시되지 않아, 여러 언어로 보유한 문서는 영어판을 사용했습니다."},
    {"context.assumed.platform", "Whether the client is a web page, an app or an interface was not stated.",
     "클라이언트가 웹, 앱, API 중 무엇인지 명시되지 않았습니다."},
    {"context.assumed.service", "The subject was not stated; nothing could be attributed to a service.",
     "대상 서비스가 명시되지 않아 어떤 흐름도 서비스에 귀속할 수 없습니다."},
    {"context.assumed.service-guessed",
     "The subject was not stated; it was taken to be {service}, whose hosts were asked most often.",
     "대상이 명시되지 않아 가장 많이 접속한 호스트의 서비스인 {service}(으)로 간주했습니다."},
    {"context.assumed.steps", "No steps were stated; rules and statements that need one are not testable.",
     "수행 단계가 명시되지 않아 단계가 필요한 규칙과 문장은 판정할 수 없습니다."},
    {"finding.ambiguous", "The texts say both: {type} goes to {recipient}, and it does not.",
     "문서에 {recipient}(으)로의 {type} 전송에 대해 서로 다른 진술이 함께 있습니다."},
    {"finding.clear", "{type} to {recipient}: found in the text.", "{recipient}(으)로의 {type}: 문서에서 확인됩니다."},
    {"finding.contradicted", "{type} went to {recipient}; this contradicts the text.",
     "{type}이(가) {recipient}(으)로 전송되었으며, 이는 문서의 내용과 어긋납니다."},
    {"finding.cookie.longer-lifetime", "The cookie {name} lives longer ({observed}) than the table says ({declared}).",
     "쿠키 {name}의 유효 기간({observed})이 쿠키 표의 기재({declared})보다 깁니다."},
    {"finding.cookie.no-table", "No cookie table is held, so the cookie {name} cannot be compared.",
     "보유한 쿠키 표가 없어 쿠키 {name}을(를) 비교할 수 없습니다."},
    {"finding.cookie.other-party",
     "The cookie {name} belongs to another party ({recipient}) than the table says ({declared}).",
     "쿠키 {name}의 주체({recipient})가 쿠키 표의 기재({declared})와 다릅니다."},
    {"finding.cookie.undeclared", "The cookie {name} is not found in the cookie tables examined.",
     "쿠키 {name}은(는) 검토한 쿠키 표에서 찾을 수 없습니다."},
    {"finding.declared-not-observed",
     "The text declares {type} for {recipient}; it was not observed, although the step was taken and everything sent "
     "to "
     "these hosts could be read.",
     "문서는 {recipient}에 대해 {type}을(를) 기재하고 있으나, 해당 단계를 수행했고 그 호스트로 보낸 내용을 모두 읽을 "
     "수 "
     "있었음에도 관찰되지 않았습니다."},
    {"finding.not-testable.country",
     "{type} to {recipient}: not testable, because the texts say different things of it for users in different "
     "countries.",
     "{recipient}(으)로의 {type}: 사용자의 국가에 따라 문서의 내용이 달라 판정할 수 없습니다."},
    {"finding.not-testable.declared",
     "The text declares {type} for {recipient}; whether it is sent could not be tested.",
     "문서는 {recipient}에 대해 {type}을(를) 기재하고 있으나, 전송 여부를 판정할 수 없었습니다."},
    {"finding.not-testable.flow", "{type} to {recipient}: not testable, texts missing: {documents}.",
     "{recipient}(으)로의 {type}: 다음 문서가 없어 판정할 수 없습니다: {documents}."},
    {"finding.not-testable.no-text", "{type} to {recipient}: not testable, no text held.",
     "{recipient}(으)로의 {type}: 보유한 문서가 없어 판정할 수 없습니다."},
    {"finding.omitted", "{type} to {recipient}: not found in the texts examined.",
     "{recipient}(으)로의 {type}: 검토한 문서에서 찾을 수 없습니다."},
    {"finding.vague.both",
     "{type} to {recipient}: covered only by broader wording, for the data and for the recipient.",
     "{recipient}(으)로의 {type}: 데이터와 수신자 모두 더 넓은 표현으로만 기재되어 있습니다."},
    {"finding.vague.data", "{type} to {recipient}: covered only by broader wording for the data ({data}).",
     "{recipient}(으)로의 {type}: 데이터가 더 넓은 표현({data})으로만 기재되어 있습니다."},
    {"finding.vague.recipient",
     "{type} to {recipient}: covered only by broader wording for the recipient ({declared}).",
     "{recipient}(으)로의 {type}: 수신자가 더 넓은 표현({declared})으로만 기재되어 있습니다."},
    {"limits.attribution",
     "{count} flows could not be tied to the subject; they are listed apart and enter no finding.",
     "흐름 {count}건은 대상에 귀속할 수 없어 따로 나열했으며 판정에 포함하지 않았습니다."},
    {"limits.edge", "The country of an address says little where a content network answers for others.",
     "콘텐츠 전송망이 대신 응답하는 경우 IP 주소의 국가는 의미가 제한적입니다."},
    {"limits.ip-country-missing", "No database for the country of addresses was given.",
     "IP 주소의 국가를 확인할 데이터베이스가 지정되지 않았습니다."},
    {"limits.ip-country-source", "The country of addresses is an indicator only: {source}, built {date}.",
     "IP 주소의 국가는 참고 지표일 뿐입니다: {source}, 작성일 {date}."},
    {"limits.issues", "{count} places in the input were skipped; they are listed under coverage.",
     "입력에서 {count}곳을 건너뛰었으며, 관찰 범위 항목에 나열했습니다."},
    {"limits.purpose", "The purpose of a transmission is not observable in traffic.",
     "전송의 목적은 트래픽에서 관찰할 수 없습니다."},
    {"limits.server-side", "What recipients do with the data afterwards is out of reach of traffic.",
     "수신자가 이후 데이터를 어떻게 처리하는지는 트래픽으로 알 수 없습니다."},
    {"limits.stand-in",
     "{host} answered in the place of {publisher}: what the client sent there is held against the texts; what it would "
     "send "
     "to {publisher} itself, or elsewhere then, was not observed.",
     "{host}이(가) {publisher}을(를) 대신하여 응답했습니다. 클라이언트가 그곳으로 보낸 내용을 문서와 비교하며, "
     "{publisher}에 직접 보낼 "
     "내용이나 그때 다른 곳으로 보낼 내용은 관찰되지 않았습니다."},
    {"limits.undecoded", "{bytes} bytes sent by the client could not be read; what they held is not known.",
     "클라이언트가 보낸 {bytes}바이트를 읽을 수 없었으며, 그 내용은 알 수 없습니다."},
    {"limits.withheld",
     "{bytes} of them were left out by the recorder on purpose; only a fuller recording can show them.",
     "그중 {bytes}바이트는 기록자가 의도적으로 남기지 않았으며, 더 자세한 기록으로만 확인할 수 있습니다."},
    {"policy.chosen", "{title}, version of {version}: chosen by the user; recorded {recorded}.",
     "{title}, {version} 판: 사용자가 선택함; {recorded}에 기록됨."},
    {"policy.held", "{count} texts of {publisher} were used.", "{publisher}의 문서 {count}건을 사용했습니다."},
    {"policy.in-force", "{title}, version of {version}: in force on {date}, as far as the record shows.",
     "{title}, {version} 판: 기록상 {date} 시점에 시행 중입니다."},
    {"policy.latest-known", "{title}, version of {version}: latest known, recorded {recorded}.",
     "{title}, {version} 판: 확인된 최신 판이며 {recorded}에 기록되었습니다."},
    {"policy.no-subject",
     "No service was named, so no text was chosen: name it with --service, or as subject.service in the context file.",
     "대상 서비스가 지정되지 않아 문서를 선택하지 않았습니다. --service 또는 컨텍스트 파일의 subject.service로 "
     "지정하십시오."},
    {"policy.none-held", "No text of {publisher} is held for this service, region and date.",
     "이 서비스, 지역, 날짜에 해당하는 {publisher}의 문서를 보유하고 있지 않습니다."},
    {"reach.from-third-parties", "The text speaks of data from others; traffic of the client cannot show it.",
     "다른 곳에서 받은 데이터에 관한 문장으로, 클라이언트 트래픽으로는 확인할 수 없습니다."},
    {"reach.not-yet", "The record holds this statement from {date} on only.", "이 문장은 {date}부터 기록에 있습니다."},
    {"reach.scope", "The statement is about cases traffic does not show ({scope}).",
     "트래픽에 나타나지 않는 경우({scope})에 관한 문장입니다."},
    {"reach.server-side", "The statement is about what happens on servers; traffic of the client cannot show it.",
     "서버에서 일어나는 일에 관한 문장으로, 클라이언트 트래픽으로는 확인할 수 없습니다."},
    {"reach.user-provided", "The statement is about what users enter; whether they did is their choice.",
     "사용자가 직접 입력하는 데이터에 관한 문장으로, 입력 여부는 사용자의 선택입니다."},
    {"reach.withdrawn", "The record no longer holds this statement on {date}: it does not count from then on.",
     "{date}의 기록에는 이 문장이 더 이상 없으므로 그때부터 적용하지 않습니다."},
    {"reason.bounds",
     "In {count} places a bound was reached or the file holds no content; what lay there was not looked at.",
     "{count}곳에서 처리 한도에 도달했거나 파일에 내용이 없어, 그 내용은 살펴보지 않았습니다."},
    {"reason.country", "The user's country is not known, and for users in {regions} the texts held say something else.",
     "사용자의 국가를 알 수 없으며, {regions}의 사용자에게는 보유한 문서의 내용이 다릅니다."},
    {"reason.country-declared", "The text declares it for users in {regions}; the user's country is not known.",
     "문서는 {regions}의 사용자에 대해 기재하고 있으나, 사용자의 국가를 알 수 없습니다."},
    {"reason.document", "Traffic does not decide this: {reason}", "트래픽으로 판단할 수 없습니다: {reason}"},
    {"reason.nameless",
     "{bytes} bytes to {count} public addresses that nothing names could not be read; they may belong to anybody.",
     "이름을 알 수 없는 공인 주소 {count}곳으로 보낸 {bytes}바이트를 읽을 수 없었으며, 누구의 주소인지 알 수 "
     "없습니다."},
    {"reason.no-canary", "The context names no planted secret.", "컨텍스트에 심어 둔 비밀 값이 없습니다."},
    {"reason.no-country", "The user's country is not known.", "사용자의 국가를 알 수 없습니다."},
    {"reason.no-hosts", "No traffic to the hosts of {recipient} was captured.",
     "{recipient}의 호스트로 향하는 트래픽이 수집되지 않았습니다."},
    {"reason.no-ip-country", "The country of {count} recipients is not known.",
     "수신자 {count}곳의 국가를 알 수 없습니다."},
    {"reason.no-marker", "The context has no step {marker}.", "컨텍스트에 {marker} 단계가 없습니다."},
    {"reason.no-service", "The subject is not known.", "대상 서비스를 알 수 없습니다."},
    {"reason.no-signal", "No request carried the signal Sec-GPC: 1.", "Sec-GPC: 1 신호를 보낸 요청이 없습니다."},
    {"reason.no-text", "No text is held.", "보유한 문서가 없습니다."},
    {"reason.not-recorded", "Recordings of this format do not hold {type}, which every connection shows.",
     "이 형식의 기록에는 모든 연결에서 드러나는 {type}이(가) 담기지 않습니다."},
    {"reason.nothing-in-the-rest", "{bytes} bytes sent by the client could not be read; nothing was seen in the rest.",
     "클라이언트가 보낸 {bytes}바이트를 읽을 수 없었으며, 나머지에서는 관찰된 것이 없습니다."},
    {"reason.only-leads", "{count} leads, and nothing that was observed more surely; a person must look at them.",
     "확인되지 않은 단서 {count}건뿐이며 더 확실하게 관찰된 것이 없어, 사람이 살펴보아야 합니다."},
    {"reason.opaque-field", "A value that nothing opens went to {recipient}; it may hold this type.",
     "해독할 수 없는 값이 {recipient}(으)로 전송되었으며, 이 유형을 담고 있을 수 있습니다."},
    {"reason.other-country", "The rule is for users in {countries}; the user is in {country}.",
     "이 규칙은 {countries}의 사용자에게 적용되며, 사용자는 {country}에 있습니다."},
    {"reason.other-service", "The rule is for services of another kind ({services}).",
     "이 규칙은 다른 종류의 서비스({services})에 적용됩니다."},
    {"reason.step-not-taken", "The step {step} was not taken during the capture.",
     "수집 중에 {step} 단계를 수행하지 않았습니다."},
    {"reason.texts-missing", "Texts missing: {documents}.", "없는 문서: {documents}."},
    {"reason.unattributed", "{type} was sent to {recipient} in traffic that could not be tied to the subject.",
     "대상에 귀속할 수 없는 트래픽에서 {type}이(가) {recipient}(으)로 전송되었습니다."},
    {"reason.undecoded", "{bytes} bytes to these hosts could not be read ({cause}).",
     "이 호스트로 보낸 {bytes}바이트를 읽을 수 없었습니다({cause})."},
    {"reason.unknown-company",
     "{type} was sent to {company}, which no list knows; it may be of the kind the text names ({recipient}).",
     "어떤 목록에도 없는 {company}(으)로 {type}이(가) 전송되었으며, 문서가 말하는 종류({recipient})에 해당할 수 "
     "있습니다."},
    {"reason.unread-values", "{count} short values that nothing opens went to {recipient}; they may hold this type.",
     "해독할 수 없는 짧은 값 {count}개가 {recipient}(으)로 전송되었으며, 이 유형을 담고 있을 수 있습니다."},
    {"reason.within", "{type} was sent to {recipient} and may tell it in one value with others.",
     "{recipient}(으)로 전송된 {type} 값에 함께 담겨 있을 수 있습니다."},
};

}  // namespace

std::span<const SentenceText> sentence_catalogue() { return kCatalogue; }

std::string fill_in(std::string_view text, const std::vector<std::pair<std::string, std::string>>& arguments) {
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find('{');
    const size_t close = open == std::string_view::npos ? open : text.find('}', open);
    if (close == std::string_view::npos) break;
    out += text.substr(0, open);
    const std::string_view name = text.substr(open + 1, close - open - 1);
    for (const auto& [key, value] : arguments) {
      if (key == name) {
        out += value;
        break;
      }
    }
    text.remove_prefix(close + 1);
  }
  out += text;
  return out;
}

std::string render(const Sentence& message, Language language) {
  auto at = std::lower_bound(std::begin(kCatalogue), std::end(kCatalogue), message.id,
                             [](const SentenceText& text, const std::string& id) { return text.id < id; });
  if (at == std::end(kCatalogue) || at->id != message.id) return message.id;
  return fill_in(language == Language::ko ? at->ko : at->en, message.arguments);
}

}  // namespace vitrine
