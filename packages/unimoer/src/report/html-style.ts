/** Style of the report page: light, dark and print. Figures carry their own colours and follow the page's ink. */
export const STYLE = `
:root{--bg:#fff;--ink:#1b1b1b;--muted:#595959;--line:#d9d9d9;--band:#f4f4f2;--card:#fff;--accent:#0072b2;
--harm:#b34700;--fine:#00724f;--open:#6b5a00;--warn-bg:#fff4d6;--warn-ink:#5c4300;--warn-line:#e0b84c}
@media (prefers-color-scheme:dark){:root{--bg:#16181b;--ink:#e8e8e6;--muted:#a9acb0;--line:#3a3e44;--band:#22262b;
--card:#1c1f23;--accent:#6db9e8;--harm:#f0915a;--fine:#4cc79a;--open:#e0c765;--warn-bg:#3a3115;--warn-ink:#f3dc9a;--warn-line:#8a7230}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif}
main,header,footer{max-width:60rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.3rem;line-height:1.25;margin:2.75rem 0 .75rem;padding-top:.5rem;border-top:1px solid var(--line)}
p,ul{margin:.6rem 0;max-width:52rem}
li{margin:.25rem 0}
.question{font-size:1.05rem;color:var(--muted);margin:.25rem 0 1rem}
.answer{font-size:1.15rem;margin:.5rem 0 .75rem}
.facts{color:var(--muted);font-size:.9rem}
nav{font-size:.9rem;margin:1rem 0;display:flex;flex-wrap:wrap;gap:.25rem 1rem}
a{color:var(--accent)}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.88em;background:var(--band);padding:.1em .3em;border-radius:3px}
pre{background:var(--band);border:1px solid var(--line);border-radius:6px;padding:.75rem 1rem;overflow-x:auto;font-size:.85rem;line-height:1.45}
pre code{background:none;padding:0;font-size:inherit}
.banner{position:sticky;top:0;z-index:1;background:var(--warn-bg);color:var(--warn-ink);border-bottom:1px solid var(--warn-line);text-align:center;font-weight:600;font-size:.9rem;padding:.4rem 1rem}
.note{border-left:4px solid var(--warn-line);background:var(--warn-bg);color:var(--warn-ink);padding:.6rem .9rem;border-radius:0 6px 6px 0;margin:.75rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem;margin:1rem 0}
.card{border:1px solid var(--line);border-left:5px solid var(--tone);border-radius:6px;background:var(--card);padding:.8rem 1rem}
.card h3{margin:0;font-size:.9rem;font-weight:600;color:var(--muted)}
.card .verdict{font-size:1.25rem;font-weight:700;color:var(--tone);margin:.1rem 0 .35rem}
.card p{margin:0;font-size:.95rem}
.tag{font-size:.72rem;font-weight:600;letter-spacing:.03em;text-transform:uppercase;background:var(--warn-bg);color:var(--warn-ink);border:1px solid var(--warn-line);border-radius:3px;padding:.05rem .35rem;margin-left:.4rem;vertical-align:.15em}
.harm{--tone:var(--harm)}.fine{--tone:var(--fine)}.open{--tone:var(--open)}
figure{margin:1.25rem 0;border:1px solid var(--line);border-radius:6px;background:var(--card);padding:.75rem;overflow-x:auto}
figure svg{display:block;width:100%;min-width:36rem;height:auto;max-width:56rem;margin:0 auto}
figcaption{font-size:.88rem;color:var(--muted);margin-top:.5rem;line-height:1.45}
figcaption b{color:var(--ink)}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.86rem;line-height:1.35;width:100%;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;text-align:left;color:var(--muted);font-size:.86rem;padding-top:.4rem}
th,td{padding:.3rem .55rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--ink);font-weight:600;vertical-align:bottom}
th.r,td.r{text-align:right;white-space:nowrap}
tbody th{font-weight:500}
tr.break>*{border-top:2px solid var(--muted)}
details{margin:.75rem 0}
summary{cursor:pointer;color:var(--accent)}
footer{color:var(--muted);font-size:.85rem;padding-top:2rem;padding-bottom:3rem}
.figure .bg{fill:none}
.figure .t-ink{fill:var(--ink)}.figure .t-muted{fill:var(--muted)}
.figure .s-ink{stroke:var(--ink)}.figure .s-muted,.figure .s-axis{stroke:var(--muted)}.figure .s-grid{stroke:var(--line)}
.figure .band{fill:var(--band)}.figure .hollow{fill:var(--card)}
@media print{
:root{--bg:#fff;--ink:#000;--muted:#444;--line:#ccc;--band:#f4f4f2;--card:#fff;--accent:#000;--harm:#b34700;--fine:#00724f;--open:#6b5a00;--warn-bg:#fff;--warn-ink:#000;--warn-line:#888}
body{font-size:10pt}nav{display:none}
main,header,footer{max-width:none;padding-left:0;padding-right:0}
.banner{position:static;border:1px solid var(--warn-line)}
h2{break-after:avoid}figure,.card,tr{break-inside:avoid}
caption,figcaption{font-size:8pt}table{font-size:7.4pt}th,td{padding:.15rem .3rem}.scroll{overflow:visible}
details:not([open])>*:not(summary){display:none}}
`.trim();

/** Prints the banner into the margin of every sheet. */
export function pageMargin(banner: string | null): string {
  const text =
    banner === null
      ? ''
      : `@top-center{content:${JSON.stringify(banner)};font-weight:bold;font-size:9pt}`;
  return `@page{margin:16mm 14mm;${text}@bottom-right{content:counter(page)}}`;
}
