(() => {
  // Brings what is shown to what it is to be, and leaves alone what is the same: focus and what is read aloud stay.
  // What has an id is never made into something else: a button that goes does not turn into another below a finger.
  const morph = (old, now) => {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
    if (old.nodeType === 3) { if (old.data !== now.data) old.data = now.data; return; }
    if (old.nodeType !== 1) return;
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (old.matches('input:focus, details')) return;
    let at = old.firstChild;
    const drop = () => { const gone = at; at = at.nextSibling; gone.remove(); };
    for (const child of [...now.childNodes]) {
      let same = at;
      while (same && same.id !== child.id) same = same.nextSibling;
      if (child.id && same) while (at !== same) drop();
      if (!at || (at.id || '') !== (child.id || '')) { old.insertBefore(child, at); continue; }
      const is = at;
      at = at.nextSibling;
      morph(is, child);
    }
    while (at) drop();
  };
  const show = html => {
    const page = new DOMParser().parseFromString(html, 'text/html');
    for (const id of ['main', 'foot']) {
      const [old, now] = [document.getElementById(id), page.getElementById(id)];
      if (old && now) morph(old, now);
    }
    if (page.title) document.title = page.title;
  };
  const look = () => fetch('/', { headers: { accept: 'text/html' } }).then(answer => answer.ok && answer.text().then(show)).catch(() => {});
  let asking;
  const poll = () => { asking ||= setInterval(look, 10000); };
  document.addEventListener('submit', event => {
    const form = event.target;
    if (!form.matches('[data-live]')) return;
    event.preventDefault();
    fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) })
      .then(answer => answer.ok ? answer.text().then(show) : location.reload()).catch(() => {});
  });
  if (!document.getElementById('pairs')) return;
  if (!window.EventSource) return poll();
  const events = new EventSource('/api/events');
  events.addEventListener('page', event => show(event.data));
  events.onerror = () => { if (events.readyState === 2) poll(); };
})();
