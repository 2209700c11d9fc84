// Step 1: Redirect to authorization endpoint
const authUrl = 'https://api.example.com/oauth/authorize?' +
  'client_id=YOUR_CLIENT_ID&' +
  'redirect_uri=https://yourapp.com/callback&' +
  'response_type=code&' +
  'scope=read write';

window.location.href = authUrl;

// Step 2: Handle callback
// User is redirected to: https://yourapp.com/callback?code=AUTH_CODE

// Step 3: Exchange code for token
const response = await fetch('https://api.example.com/oauth/token', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    grant_type: 'authorization_code',
    code: 'AUTH_CODE',
    client_id: 'YOUR_CLIENT_ID',
    client_secret: 'YOUR_CLIENT_SECRET',
    redirect_uri: 'https://yourapp.com/callback'
  })
});

const { access_token, refresh_token } = await response.json();

// Step 4: Use access token
const apiResponse = await fetch('https://api.example.com/v1/users', {
  headers: {
    'Authorization': `Bearer ${access_token}`
  }
});
