// Everything the page says, in the languages that it speaks, and how prices and dates are written in them.

const ENGLISH = {
  name: "A small shop", skip: "Skip to the list", pages: "Pages", products: "Products", favorites: "Favorites",
  logIn: "Log in", logOut: "Log out", register: "Create account", cancel: "Cancel", close: "Close", again: "Try again",
  toRegister: "I am new here", toLogIn: "I have an account",
  personName: "Name", email: "E-mail", password: "Password",
  order: "Order", byCatalog: "Recommended", cheapest: "Lowest price first", dearest: "Highest price first",
  az: "A to Z", za: "Z to A", newest: "Newest first", oldest: "Oldest first", drop: "Biggest price drop first",
  cheaperNow: "Only what is cheaper now", search: "Search", searchFor: "Search for products", more: "Show more",
  onlyCategory: (name) => `Only ${name}: show all categories again`, category: (name) => `Category ${name}`,
  back: "All products", favorite: (title) => `Favorite: ${title}`,
  marked: (title) => `${title} is a favorite now.`, unmarked: (title) => `${title} is not a favorite any more.`,
  welcome: (name) => `Welcome, ${name}.`, loggedOut: "You are logged out.",
  notSold: "Not sold at the moment", unknownTitle: (id) => `Product ${id}`,
  less: (amount) => `${amount} less`, moreExpensive: (amount) => `${amount} more`, before: "Price when you marked it:",
  review: (rate, count) => `★ ${rate} from ${count} reviews`, markedOn: (date) => `Marked on ${date}`,
  noProducts: "There are no products here.", nothingFound: (words) => `Nothing was found for “${words}”.`,
  noneCheaper: "None of your favorites costs less than when you marked it.",
  noFavorites: "You have no favorites yet. Mark a product with its heart.",
  emptyGuestList: "Your list is empty. Mark a product with its heart: you need no account.",
  guestNote: "This list is in this browser only. Log in to keep it with your account.",
  merged: (count) => `${count} added to your favorites`, already: (count) => `${count} already among them`,
  refused: (count) => `${count} not sold any more`, fromThisBrowser: (what) => `From this browser: ${what}.`,
  noSuchProduct: "This product is not sold here.",
  share: "Share", shareList: "Share your favorites", shareNote: "Everybody with the link sees your favorites as they are at that moment, and not who you are.",
  listName: "Name of the list (optional)", createLink: "Create link", links: "Your links", sharedList: "A shared list",
  copyLink: "Copy", copyLinkOf: (name) => `Copy the link of ${name}`, endLink: "End", endLinkOf: (name) => `End the link of ${name}`,
  endsOn: (date) => `until ${date}`, hasNoEnd: "without an end", linkCopied: "The link is copied.", linkEnded: "The link has ended.",
  copyByHand: "Copy the address of the link from the list.", emptyShared: "There is nothing in this list at the moment.",
  noSuchShare: "There is no such list, or it is no longer shared.", fullShares: (max) => `You have ${max} links already. End one first.`,
  sessionEnded: "You have been logged out. Please log in again.",
  unreachable: "The shop cannot be reached right now. Please try again.",
  wait: (seconds) => `Too many attempts. Please try again in ${seconds} seconds.`, waitSome: "Too many attempts. Please try again later.",
  wrongCredentials: "The e-mail or the password is wrong.", emailTaken: "There is an account with this e-mail already. Log in instead.",
  full: (max) => `Your list is full: it has ${max} products.`, fullGuest: (max) => `Without an account, a list has up to ${max} products. Log in to keep more.`,
  enterName: "Enter your name.", enterEmail: "Enter an e-mail address, such as ana@example.com.", enterPassword: "Enter your password.",
  shortPassword: "Use at least 8 characters.", longPassword: "Use at most 128 characters.", easyPassword: "This password is too easy to guess.",
  fault: "Something went wrong. Please load the page again.",
};

const PORTUGUESE = {
  name: "Uma lojinha", skip: "Ir para a lista", pages: "Páginas", products: "Produtos", favorites: "Favoritos",
  logIn: "Entrar", logOut: "Sair", register: "Criar conta", cancel: "Cancelar", close: "Fechar", again: "Tentar de novo",
  toRegister: "Ainda não tenho conta", toLogIn: "Já tenho conta",
  personName: "Nome", email: "E-mail", password: "Senha",
  order: "Ordenar", byCatalog: "Recomendados", cheapest: "Menor preço", dearest: "Maior preço",
  az: "A a Z", za: "Z a A", newest: "Mais recentes", oldest: "Mais antigos", drop: "Maior queda de preço",
  cheaperNow: "Só os que baixaram de preço", search: "Buscar", searchFor: "Buscar produtos", more: "Ver mais",
  onlyCategory: (name) => `Só ${name}: mostrar todas as categorias`, category: (name) => `Categoria ${name}`,
  back: "Todos os produtos", favorite: (title) => `Favorito: ${title}`,
  marked: (title) => `${title} agora está nos favoritos.`, unmarked: (title) => `${title} saiu dos favoritos.`,
  welcome: (name) => `Olá, ${name}!`, loggedOut: "Você saiu da sua conta.",
  notSold: "Indisponível no momento", unknownTitle: (id) => `Produto ${id}`,
  less: (amount) => `${amount} a menos`, moreExpensive: (amount) => `${amount} a mais`, before: "Preço quando você marcou:",
  review: (rate, count) => `★ ${rate} em ${count} avaliações`, markedOn: (date) => `Marcado em ${date}`,
  noProducts: "Não há produtos aqui.", nothingFound: (words) => `Nada encontrado para “${words}”.`,
  noneCheaper: "Nenhum dos seus favoritos está mais barato do que quando você marcou.",
  noFavorites: "Você ainda não tem favoritos. Toque no coração de um produto para marcá-lo.",
  emptyGuestList: "Sua lista está vazia. Toque no coração de um produto: não precisa ter conta.",
  guestNote: "Esta lista está só neste navegador. Entre para guardá-la na sua conta.",
  merged: (count) => `${count} nos seus favoritos`, already: (count) => `${count} já estavam lá`,
  refused: (count) => `${count} não são mais vendidos`, fromThisBrowser: (what) => `Deste navegador: ${what}.`,
  noSuchProduct: "Este produto não é vendido aqui.",
  share: "Compartilhar", shareList: "Compartilhar seus favoritos", shareNote: "Quem tem o link vê os seus favoritos como estão no momento, sem saber quem você é.",
  listName: "Nome da lista (opcional)", createLink: "Criar link", links: "Seus links", sharedList: "Uma lista compartilhada",
  copyLink: "Copiar", copyLinkOf: (name) => `Copiar o link de ${name}`, endLink: "Encerrar", endLinkOf: (name) => `Encerrar o link de ${name}`,
  endsOn: (date) => `até ${date}`, hasNoEnd: "sem prazo", linkCopied: "Link copiado.", linkEnded: "O link foi encerrado.",
  copyByHand: "Copie o endereço do link na lista.", emptyShared: "Não há nada nesta lista no momento.",
  noSuchShare: "Esta lista não existe ou não está mais compartilhada.", fullShares: (max) => `Você já tem ${max} links. Encerre um antes.`,
  sessionEnded: "Sua sessão terminou. Entre de novo.",
  unreachable: "Não conseguimos falar com a loja agora. Tente de novo.",
  wait: (seconds) => `Muitas tentativas. Tente de novo em ${seconds} segundos.`, waitSome: "Muitas tentativas. Tente de novo mais tarde.",
  wrongCredentials: "E-mail ou senha incorretos.", emailTaken: "Já existe uma conta com este e-mail. Entre com ela.",
  full: (max) => `Sua lista está cheia: ela tem ${max} produtos.`, fullGuest: (max) => `Sem conta, a lista tem até ${max} produtos. Entre para guardar mais.`,
  enterName: "Escreva o seu nome.", enterEmail: "Escreva um e-mail, como ana@example.com.", enterPassword: "Escreva a sua senha.",
  shortPassword: "Use pelo menos 8 caracteres.", longPassword: "Use no máximo 128 caracteres.", easyPassword: "Esta senha é fácil demais de adivinhar.",
  fault: "Algo deu errado. Carregue a página de novo.",
};

export const LANGUAGES = { en: ENGLISH, pt: PORTUGUESE };

const preferred = navigator.languages.find((each) => each.slice(0, 2) in LANGUAGES) ?? "en";

/** The texts in the first language of the browser that this page speaks. */
export const texts = LANGUAGES[preferred.slice(0, 2)];

/** That language, with its region: it decides how numbers and dates are written. */
export const language = preferred;

const DATE = new Intl.DateTimeFormat(language, { day: "numeric", month: "long", year: "numeric" });

/** A day as people write it. */
export const day = (time) => DATE.format(new Date(time));

/** A price with its currency (ISO 4217, or null), every digit of the text that the service sent kept. */
export function price(text, currency) {
  const decimals = text.split(".")[1]?.length ?? 0;
  const style = currency ? { style: "currency", currency } : {};
  const usual = new Intl.NumberFormat(language, style).resolvedOptions().minimumFractionDigits;
  const digits = Math.max(decimals, currency ? usual : 2);
  const format = { ...style, minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, format).format(text); // of a text, not of a number: no digit is lost
}

/** Put the texts into the elements of the page that name one (data-text, data-label, data-hint). */
export function translate(root) {
  root.documentElement.lang = language;
  for (const each of root.querySelectorAll("[data-text]")) each.textContent = texts[each.dataset.text];
  for (const each of root.querySelectorAll("[data-label]")) each.setAttribute("aria-label", texts[each.dataset.label]);
  for (const each of root.querySelectorAll("[data-hint]")) each.placeholder = texts[each.dataset.hint];
}
