// SIMULATED analytics SDK: first-party cookie, page-view beacon, pixel, gzip'd event batches.
(function () {
  var host = 'https://telemetry.metrica.test', app, user = {}, queue = [];
  function cookie(name) {
    var hit = document.cookie.match('(?:^|; )' + name + '=([^;]*)');
    return hit && hit[1];
  }
  function uid() {
    var id = cookie('metrica_uid');
    if (!id) {
      id = '7' + String(Math.random()).slice(2, 12) + String(Date.now()).slice(-8);
      document.cookie = 'metrica_uid=' + id + '; max-age=63072000; path=/; secure; samesite=lax';
    }
    return id;
  }
  async function header() {
    var hints = navigator.userAgentData
      ? await navigator.userAgentData.getHighEntropyValues(['architecture', 'bitness', 'model', 'platformVersion', 'fullVersionList']) : {};
    return {
      app_id: app.id, app_name: app.name, app_version: app.version, sdk_version: '5.3.1',
      os_name: navigator.platform, device_model: hints.model || 'desktop', ua_hints: hints,
      resolution: screen.width + 'x' + screen.height, pixel_ratio: devicePixelRatio, color_depth: screen.colorDepth,
      orientation: screen.orientation ? screen.orientation.type : '',
      language: navigator.language, locale: navigator.languages.join(','),
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, tz_offset: -60 * new Date().getTimezoneOffset(),
      cpu_cores: navigator.hardwareConcurrency, device_memory: navigator.deviceMemory || 0,
      network_type: (navigator.connection || {}).effectiveType || 'unknown',
      dark_mode: matchMedia('(prefers-color-scheme: dark)').matches, user_agent: navigator.userAgent,
    };
  }
  window.Metrica = {
    init: function (options) { app = options; uid(); },
    identify: function (values) { Object.assign(user, values); },
    track: function (event, params) { queue.push({ event: event, params: params || {}, local_time_ms: Date.now() }); },
    pageView: function () {
      navigator.sendBeacon(host + '/beacon', JSON.stringify({
        app_id: app.id, uid: uid(), page: location.href.split('#')[0], title: document.title, referrer: document.referrer, ts: Date.now(),
      }));
    },
    hit: function (page) {
      var query = new URLSearchParams({
        app: app.id, uid: uid(), dl: page, sr: screen.width + 'x' + screen.height, ul: navigator.language,
        tz: Intl.DateTimeFormat().resolvedOptions().timeZone, z: String(Date.now()),
      });
      new Image().src = host + '/collect/v1/hit?' + query;
    },
    flush: async function () {
      if (!queue.length) return;
      var events = queue.splice(0);
      var text = JSON.stringify({ events: events, user: Object.assign({ user_unique_id: uid(), web_id: uid() }, user), header: await header() });
      var packed = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
      await fetch(host + '/service/2/app_log?app_id=' + app.id, {
        method: 'POST', credentials: 'include',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body: await new Response(packed).blob(),
      });
    },
  };
})();
