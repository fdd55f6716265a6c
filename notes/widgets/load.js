// Starts teeny in the page. PROGRAM is WebAssembly, gzipped, as base64: a page that is opened from a file may not read
// the file beside it.
'use strict';

const byId = id => document.getElementById(id);

function bytesOf(base64) { return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0)); }

async function startTeeny(make) {
  try {
    const unpacked = new Blob([bytesOf(PROGRAM)]).stream().pipeThrough(new DecompressionStream('gzip'));
    return await make({wasmBinary: await new Response(unpacked).arrayBuffer()});
  } catch (error) {
    byId('status').textContent = 'This page needs a browser of 2023 or later: ' + error.message;
    throw error;
  }
}
