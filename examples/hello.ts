// Types are taken out, not checked: what is left is JavaScript.
interface Guest {
  name: string;
  age?: number;
}

const guests: Guest[] = process.argv.slice(2).map((name: string) => ({ name }));
for (const guest of guests.length ? guests : [{ name: "world" } as Guest]) {
  console.log(`hello from TypeScript, ${guest.name}!`);
}
