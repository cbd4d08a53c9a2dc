// Aster Chat's web client (SIMULATED). `document.body.dataset` tells the driver what has finished.
(function () {
  var boot = window.ASTER_BOOT, $ = function (id) { return document.getElementById(id); };
  var token = null, session = null, startedAt = Date.now(), shield = null, fileIds = [];
  var hash = location.hash.match(/sp=([^&]+)/);
  if (hash) { shield = decodeURIComponent(hash[1]); history.replaceState(null, '', '/'); }

  function cookie(name) {
    var hit = document.cookie.match('(?:^|; )' + name + '=([^;]*)');
    return hit ? hit[1] : '';
  }
  function installation() {
    var id = localStorage.getItem('aster_installation');
    if (!id) {
      // Without the anti-fraud SDK nothing the client sends may be opaque: a UUID instead of 32 random bytes.
      id = boot.features.shield ? btoa(String.fromCharCode.apply(null, crypto.getRandomValues(new Uint8Array(32)))) : crypto.randomUUID();
      localStorage.setItem('aster_installation', id);
    }
    return id;
  }
  function headers(extra) {
    var out = {
      'content-type': 'application/json', 'x-client-platform': 'web', 'x-client-version': boot.version,
      'x-client-locale': navigator.language.replace('-', '_'),
      'x-client-timezone-offset': String(-60 * new Date().getTimezoneOffset()), 'x-device-id': installation(),
    };
    if (token) out.authorization = 'Bearer ' + token;
    return Object.assign(out, extra || {});
  }
  async function post(path, value, extra) {
    var answer = await fetch('/api/v0/' + path, { method: 'POST', headers: headers(extra), body: JSON.stringify(value) });
    return answer.status === 204 ? null : answer.json();
  }
  function done(name) { document.body.dataset[name] = '1'; }

  // --- drafts: the text so far, at most every 120 ms, before anything is submitted
  var draftTimer = null;
  function saveDraft() {
    if (draftTimer) return;
    draftTimer = setTimeout(function () {
      draftTimer = null;
      post('chat/draft', { chat_session_id: session, text: $('prompt').value });
    }, 120);
  }

  // --- keystroke timing: only in the aster-keystroke scenario
  var keys = [], keysFrom = 0;
  function keyClass(event) { return event.key.length > 1 ? -3 : /[a-z]/i.test(event.key) ? -2 : -4; }
  function watchKeys() {
    ['down', 'up'].forEach(function (type) {
      $('prompt').addEventListener('key' + type, function (event) {
        if (!keysFrom) keysFrom = performance.now();
        keys.push({ t: Math.round(performance.now() - keysFrom), type: type, k: keyClass(event) });
      });
    });
  }
  function rhythm() {
    var downs = keys.filter(function (e) { return e.type === 'down'; }), ups = keys.filter(function (e) { return e.type === 'up'; });
    return {
      v: 2, field: 'prompt',
      dwell: ups.map(function (e, i) { return e.t - downs[i].t; }),
      flight: downs.slice(1).map(function (e, i) { return e.t - ups[i].t; }),
    };
  }

  // --- honest look-alikes of key events: pointer samples, hover toggles, heartbeats, resource timing
  var pointer = [], hovers = [], heartbeats = [];
  document.addEventListener('mousemove', function (e) {
    if (pointer.length < 40) pointer.push({ x: e.clientX, y: e.clientY, t: Date.now() - startedAt });
  });
  document.querySelectorAll('button').forEach(function (button) {
    ['enter', 'leave'].forEach(function (type) {
      button.addEventListener('mouse' + type, function () { hovers.push({ t: Date.now() - startedAt, type: type, id: button.id }); });
    });
  });
  setInterval(function () { heartbeats.push(Date.now()); }, 1000);
  function resources() {
    return performance.getEntriesByType('resource').slice(0, 8).map(function (r) {
      return { name: new URL(r.name).pathname, start: Math.round(r.startTime), duration: Math.round(r.duration) };
    });
  }

  async function firstPartyEvents(names) {
    var place = await (await fetch('/api/v0/ip_to_country_code', { headers: headers() })).json();
    return post('events', {
      events: names.map(function (name, i) {
        return {
          session_id: cookie('aster_did'), client_timestamp_ms: Date.now() - 137 * (names.length - i), event_name: name,
          payload: {
            __ip: place.ip, __region: place.country, __locale: navigator.language, __referrer: document.referrer,
            __userAgent: navigator.userAgent, __pageVisibility: document.visibilityState, __appVersion: boot.version,
          },
        };
      }),
    });
  }

  async function start() {
    Metrica.init({ id: 'aster-web', name: 'Aster Chat', version: boot.version });
    Metrica.pageView();                                       // before any choice is made
    await fetch('/api/v0/client/settings?did=' + cookie('aster_did') + '&scope=web', { headers: headers() }).then(function (r) { return r.json(); });
    Metrica.track('page_view', { path: '/' });
    $('consent').hidden = false;
    Metrica.track('consent_shown');
    done('started');
  }

  async function choose(state) {
    await post('consent', { state: state, analytics: state === 'accepted' });
    $('consent').hidden = true;
    Metrica.track('consent', { state: state });
    await Metrica.flush();
    done('consented');
  }
  $('accept').onclick = function () { choose('accepted'); };
  $('reject').onclick = function () { choose('rejected'); };

  $('login').onsubmit = async function (event) {
    event.preventDefault();
    var answer = await post('users/login', {
      email: $('email').value, password: $('password').value, os: 'web',
      device_id: cookie('sp_did') ? 'B' + cookie('sp_did') : cookie('aster_did'),
    }, shield ? { 'x-shield-token': shield } : {});
    token = answer.token;
    $('login').hidden = true;
    $('chat').hidden = false;
    Metrica.identify({ account_id: answer.user.id });
    Metrica.track('login', { method: 'password' });
    session = (await post('chat_session/create', { character_id: null })).chat_session_id;
    history.replaceState(null, '', '/a/chat/s/' + session);
    Metrica.hit(location.href);                               // the chat's address leaves with the pixel
    await Helpdesk.boot({ id: answer.user.id, email: answer.user.email });
    await firstPartyEvents(['launch', 'login', 'chat_opened']);
    done('loggedin');
  };

  $('prompt').addEventListener('input', saveDraft);
  if (boot.features.typingInsights) watchKeys();

  $('file').onchange = async function () {
    var form = new FormData();
    form.append('purpose', 'attachment');
    form.append('file', $('file').files[0]);
    var plain = headers();
    delete plain['content-type'];
    var answer = await (await fetch('/api/v0/file/upload', { method: 'POST', headers: plain, body: form })).json();
    fileIds.push(answer.file_id);
    done('uploaded');
  };

  async function proofOfWork() {
    var c = await (await fetch('/api/v0/chat/create_pow_challenge', { headers: headers() })).json();
    for (var answer = 0; ; answer++) {
      var digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(c.challenge + c.salt + answer)));
      if (digest[0] === 0) break;
    }
    return btoa(JSON.stringify({
      algorithm: c.algorithm, challenge: c.challenge, salt: c.salt, answer: answer, signature: c.signature, target_path: c.target_path,
    }));
  }

  $('send').onclick = async function () {
    var sentAt = Date.now(), prompt = $('prompt').value, first = 0;
    Metrica.track('send_click', { length: prompt.length, thinking: false });
    var extra = { 'x-aster-pow': await proofOfWork() };
    if (shield) extra['x-shield-token'] = shield;
    var answer = await fetch('/api/v0/chat/completion', {
      method: 'POST', headers: headers(extra),
      body: JSON.stringify({
        chat_session_id: session, parent_message_id: null, prompt: prompt, ref_file_ids: fileIds, thinking_enabled: false, search_enabled: true,
        client_contextual_info: {
          is_dark_mode: false, time_since_loaded: Date.now() - startedAt, page_height: innerHeight, page_width: innerWidth,
          pixel_ratio: devicePixelRatio, screen_height: screen.height, screen_width: screen.width,
        },
      }),
    });
    var reader = answer.body.getReader(), text = new TextDecoder();
    for (;;) {
      var piece = await reader.read();
      if (piece.done) break;
      first = first || Date.now();
      $('answer').textContent += text.decode(piece.value, { stream: true });
    }
    Metrica.track('answer_shown', { first_token_ms: first - sentAt, total_ms: Date.now() - sentAt });
    Metrica.track('ui_trace', { pointer: pointer, hovers: hovers });
    Metrica.track('page_health', { heartbeats: heartbeats, resources: resources() });
    if (boot.features.typingInsights) {
      Metrica.track('composer_input', { field: 'prompt', kd: keys });
      await post('events', {
        events: [{ session_id: cookie('aster_did'), client_timestamp_ms: Date.now(), event_name: 'composer', payload: { bio: btoa(JSON.stringify(rhythm())) } }],
      });
    }
    await Metrica.flush();
    await firstPartyEvents(['completion_sent', 'completion_shown']);
    done('answered');
  };

  $('thumb').onclick = async function () {
    var meta = JSON.stringify({ screen: screen.width + 'x' + screen.height, tz: Intl.DateTimeFormat().resolvedOptions().timeZone });
    var plain = headers({ 'content-type': 'application/x-www-form-urlencoded' });
    await fetch('/api/v0/feedback', {
      method: 'POST', headers: plain,
      body: new URLSearchParams({ kind: 'thumb', payload: JSON.stringify({ rating: 'up', chat_session_id: session, meta: meta }) }),
    });
    done('rated');
  };
  $('support').onclick = async function () {
    await Helpdesk.comment('How do I export my simulated chats?');
    Helpdesk.close();
    done('supported');
  };
  $('logout').onclick = async function () {
    await post('users/logout', {});
    Metrica.track('logout');
    await Metrica.flush();
    token = null;
    done('loggedout');
  };
  start();
})();
